"""The library behind the chapters of Measured Claims."""
