"""Strict fakes of services that can't be had on a test machine. Each is judged by a client of other people
(scenarios/fakes.py) before it may judge the gateway."""
