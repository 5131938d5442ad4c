"""For tests of programs that use okx_funding: fixtures for pytest, found without being named.

`fixtures` and `asynchronous` say what there is, docs/testing-your-bot.md how to use it.
"""
