"""What the commands take that don't come from the table of endpoints."""

from __future__ import annotations

from .arguments import (
    Command,
    balance,
    connecting,
    count,
    fault,
    output,
    port,
    seconds,
    seconds_or_zero,
    version,
)

SHELLS = ("bash", "zsh", "fish")
JUDGES = ("sliding", "fixed", "fixed-first", "token-bucket", "weighted")
"""How a simulated exchange may count, as in ``okx_funding.simulator``; nothing is loaded."""


def demo(command: Command) -> None:
    demo = command(
        "demo",
        "demo:demo",
        "see it work, without a key and without network",
        "Start a simulated exchange on this machine, let some hundred callers ask it for a few\n"
        "hundred currencies all at once, and show what it took. Ends within seconds.",
    )
    demo.add_argument(
        "--chaos",
        action="store_true",
        help="ten thousand callers of 40 users, while a fifth of the requests goes wrong",
    )
    demo.add_argument("--callers", type=count, help="how many (default: 300, or 10000)")
    demo.add_argument(
        "--currencies",
        type=count,
        default=500,
        help="how many currencies they choose from (default: 500)",
    )
    demo.add_argument("--json", action="store_true", help="print the figures as JSON")


def doctor(command: Command) -> None:
    doctor = command(
        "doctor",
        "doctor:doctor",
        "check the way to OKX, the clock and the key",
        "Check versions, settings, DNS, TLS, round trip, clock and key, and show for each whether\n"
        "it is ok, a warning or a problem, and what to do. It sends a few requests, all of them\n"
        "reading, and within the limits. No secret is shown.",
        epilog="The exit code is 0 without a problem, 3 where the key is the problem, else 1 or 4.",
    )
    doctor.add_argument(
        "--find-host",
        action="store_true",
        help="where the host doesn't know the key, send it to OKX's other hosts to find its own",
    )
    doctor.add_argument(
        "--fields",
        action="store_true",
        help="ask each read that the key may use once: which fields does OKX send that nobody "
        "knows, which documented ones are missing? Shows names, never values",
    )
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    connecting(doctor, 10.0, "for each step")


def limits(command: Command) -> None:
    limits = command(
        "limits",
        "limits:limits",
        "show the built-in table of OKX's limits",
        "Show the limits that are kept unless rate_limits= says otherwise, and OKX's page that\n"
        "each comes from. Nothing is sent. With --machine: the limits that the processes of this\n"
        "machine share, as they are in use now; with --buckets: those shared in a Redis.",
    )
    limits.add_argument(
        "--machine",
        action="store_true",
        help="the limits that the processes of this machine share, and who waits",
    )
    limits.add_argument(
        "--folder", metavar="PATH", help="the folder given to MachineLimits(path=), with --machine"
    )
    limits.add_argument(
        "--buckets",
        metavar="URL",
        nargs="?",
        const="",
        help="the URL of SharedLimits, such as redis://localhost:6379/0; OKX_BUCKETS if not given",
    )
    limits.add_argument("--json", action="store_true", help="print the table as JSON")


def completion(command: Command) -> None:
    completion = command(
        "completion",
        "completion:completion",
        "print a script that completes commands in a shell",
        "Print a script by which a shell completes this command's arguments.",
        epilog=(
            "bash:  okx-funding completion bash > ~/.local/share/bash-completion/completions/"
            "okx-funding\n"
            "zsh:   okx-funding completion zsh > DIR/_okx-funding, with DIR in your fpath\n"
            "fish:  okx-funding completion fish > ~/.config/fish/completions/okx-funding.fish"
        ),
    )
    completion.add_argument("shell", choices=SHELLS, help=f"one of {', '.join(SHELLS)}")


def simulate(command: Command) -> None:
    simulate = command(
        "simulate",
        "simulate:simulate",
        "run a simulated exchange until Ctrl-C",
        "Run a simulated exchange on this machine, for tests of your own programs in whatever\n"
        "language. It checks signatures, counts limits, moves money between its accounts and\n"
        "answers with OKX's codes. The keys that it prints are made up and of no use elsewhere.",
        epilog="faults:\n"
        "  lost, money, all, or one of them: reset, close, hang, slow, drip, truncated, garbage,\n"
        "  empty, huge, redirect, an HTTP status such as 503, a code of OKX's such as 50011.\n"
        "  reset:0.1 happens to a tenth of the requests (0.05 without a share).\n\n"
        "other machines:\n"
        "  --host 0.0.0.0 listens to them too. http:// to another machine sends the passphrase in\n"
        "  clear, so clients want to be told: --allow-http here, allow_http=True in a program.",
    )
    simulate.add_argument("--port", type=port, default=8080, help="0 takes a free one (8080)")
    simulate.add_argument("--host", default="127.0.0.1", help="where to listen (127.0.0.1)")
    simulate.add_argument("--users", type=count, default=1, metavar="N", help="how many (1)")
    simulate.add_argument(
        "--balance",
        type=balance,
        action="append",
        metavar="CCY=AMT",
        help="what each user's funding account has; may be repeated",
    )
    simulate.add_argument(
        "--fault",
        type=fault,
        action="append",
        metavar="NAME[:SHARE]",
        help="what goes wrong, and with which share of the requests; may be repeated",
    )
    simulate.add_argument(
        "--judge",
        choices=JUDGES,
        default="sliding",
        help="how it counts requests against a limit (sliding)",
    )
    simulate.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of keys and whatever is left to chance"
    )
    simulate.add_argument(
        "--latency", type=seconds_or_zero, default=0.0, help="seconds, each way (0)"
    )
    simulate.add_argument(
        "--jitter", type=seconds_or_zero, default=0.0, help="up to this many seconds more (0)"
    )
    simulate.add_argument(
        "--strict",
        action="store_true",
        help="refuse what OKX only tolerates, such as empty parameters",
    )
    simulate.add_argument(
        "--json", action="store_true", help="print address and keys as one line of JSON"
    )


def watch(command: Command) -> None:
    watch = command(
        "watch",
        "watch:choose",
        "show deposits, withdrawals, or assets as they change",
        "Show what happens as it happens, until Ctrl-C, which is its ordinary end.",
    )
    kinds = watch.add_subparsers(title="what to watch", metavar="WHAT", required=True)
    for what in ("deposits", "withdrawals"):
        pushed = kinds.add_parser(
            what,
            help=f"{what} and every change of their states, pushed by OKX",
            description=f"Show {what} and every change of their states as OKX pushes them; what\n"
            "came while the connection was lost is read from the history. A pipe gets a line for\n"
            "each event.",
            formatter_class=watch.formatter_class,
            allow_abbrev=False,
        )
        pushed.add_argument("--ccy", metavar="CCY", help="of this currency only")
        pushed.add_argument(
            "--since",
            metavar="WHEN",
            help="from then on: a date, 7d (ago), milliseconds, or the bookmark of an event of "
            "--json; from now on by default",
        )
        pushed.add_argument(
            "--details", action="store_true", help="changes of confirmations and hashes too"
        )
        pushed.add_argument(
            "--gaps", action="store_true", help="say where something can't be known"
        )
        pushed.add_argument(
            "--json", action="store_true", help="a JSON object with a bookmark in each line"
        )
        connecting(pushed, 30.0, "for one read of the history")
        version(pushed)
        pushed.set_defaults(what=what)
    assets = kinds.add_parser(
        "assets",
        help="non-tradable assets and the valuation, asked for again and again",
        description="Show non-tradable assets, valuation and how much of the limits is in use,\n"
        "again and again. A pipe gets a line for each thing that is new. However short the\n"
        "interval, OKX's limits are kept.",
        formatter_class=watch.formatter_class,
        allow_abbrev=False,
    )
    assets.add_argument("ccy", nargs="*", metavar="CCY", help="a currency; none: all of them")
    assets.add_argument("--unit", metavar="UNIT", help="of the valuation, such as USDT (BTC)")
    assets.add_argument(
        "--every", type=seconds, default=2.0, metavar="SECONDS", help="between two updates (2)"
    )
    assets.add_argument("--count", type=count, metavar="N", help="end after N updates")
    connecting(assets, 30.0, "for one update, waiting included")
    version(assets)
    assets.set_defaults(what="assets")


def accounts(command: Command) -> None:
    accounts = command(
        "accounts",
        "accounts:accounts",
        "all profiles: what each is worth and owns, a line each",
        "Ask every profile of ~/.okx/config.toml at once for valuation and balances, and show a\n"
        "line for each; one that fails says why.",
    )
    accounts.add_argument("names", nargs="*", metavar="PROFILE", help="these only")
    accounts.add_argument("--unit", metavar="UNIT", help="of the valuation, such as USDT (BTC)")
    output(accounts)
    connecting(accounts, 30.0, "for each account, waiting included", profile=False)
    subs = command(
        "sub-accounts",
        "accounts:sub_accounts",
        "all sub-accounts of a master key: balances, a line each",
        "List the sub-accounts and ask for the balances of each: 3 sub-accounts per second, or 10\n"
        "for --max-withdrawals. It says beforehand how long that takes.",
    )
    subs.add_argument("names", nargs="*", metavar="NAME", help="these only")
    what = subs.add_mutually_exclusive_group()
    what.add_argument(
        "--trading", action="store_true", help="trading accounts instead of funding accounts"
    )
    what.add_argument(
        "--max-withdrawals", action="store_true", help="what the trading accounts can give"
    )
    subs.add_argument("--ccy", metavar="CCY", help="of this currency only")
    output(subs)
    connecting(subs, 30.0, "for each request, waiting included")


def journal(command: Command) -> None:
    journal = command(
        "journal",
        "journal:journal",
        "list the open movements of a journal, and resolve them",
        "List the movements whose outcome a journal doesn't know yet. With --resolve OKX is asked\n"
        "what became of those of this account; nothing is ever sent again.",
        epilog="The exit code is 5 where --resolve leaves something unknown.",
    )
    journal.add_argument("path", metavar="PATH", help="its file, or a postgresql:// URL")
    journal.add_argument("--resolve", action="store_true", help="ask OKX what became of them")
    journal.add_argument("--json", action="store_true", help="print JSON")
    connecting(journal, 30.0, "for each request, waiting included")
    resolve = command(
        "resolve",
        "journal:resolve",
        "ask what became of one movement, by its intent",
        "Ask OKX what became of a movement, by the intent that the command printed before it sent\n"
        "anything. Nothing is ever sent again.",
        epilog="The exit code is 5 where the outcome stays unknown.",
    )
    resolve.add_argument("intent", metavar="INTENT", help="its JSON text; - reads it from a pipe")
    resolve.add_argument("--json", action="store_true", help="print JSON")
    connecting(resolve, 30.0, "for each request, waiting included")
