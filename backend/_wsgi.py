"""Entry point of `label-studio-ml start ./backend` and of WSGI servers (`gunicorn --chdir backend _wsgi:app`)."""

if __name__ == "__main__":
    import argparse
    import os
    import sys

    from labelqueue.cli import main

    parser = argparse.ArgumentParser(description="Start labelqueue: web, workers and, without REDIS_URL, Redis.")
    parser.add_argument("-p", "--port", help="port of the web process (default: PORT or 9090)")
    parser.add_argument("--host", help="address of the web process (default: HOST or 127.0.0.1)")
    arguments, _ = parser.parse_known_args()
    os.environ.update({k: v for k, v in {"PORT": arguments.port, "HOST": arguments.host}.items() if v})
    sys.exit(main(["serve"]))
else:
    from labelqueue.web.app import create_app

    app = create_app()
