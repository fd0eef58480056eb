"""The scenarios, one file each. Every file has `NEEDS` (programs) and `run(claims, binary, directory)`."""
