"""The parts put together: web pages, JSON API, command line, worker."""
