"""gunicorn's settings: threads, because requests wait for the database more than they compute."""

worker_class = "gthread"
workers = 2
threads = 8
preload_app = False
control_socket_disable = True
accesslog = None
graceful_timeout = 5
timeout = 60
# Filters of the API in letters that take twelve bytes each are longer than the usual 4,094.
limit_request_line = 8190
