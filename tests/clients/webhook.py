#!/usr/bin/env python3
"""The published library of Standard Webhooks against what a real daemon signs (`make vendor-check` runs it).

Usage: webhook.py FOLDER, where the folder holds leadlined and leadline
"""

import http.server
import json
import os
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading
import urllib.request

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

LEAD = {"name": "Zoë 👰", "email": "zoe@example.com", "event_type": "wedding", "event_date": "2027-06-12",
        "guest_count": 80, "gdpr_consent": True}
PUSHED = queue.Queue()


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        PUSHED.put((dict(self.headers), self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def intake_of(daemon):
    """Where it takes leads in, which it says when it is ready; what it says afterwards is read and dropped."""
    for line in daemon.stderr:
        said = json.loads(line)
        if said.get("message") == "ready":
            threading.Thread(target=lambda: list(daemon.stderr), daemon=True).start()
            return said["intake"]
    raise SystemExit("leadlined ended before it was ready")


def check(leadline, intake, receiver):
    """What the library says of a push, before and during a rotation."""
    company = str(leadline("company", "create", "--name", "The Old Barn", "--plan", "pro")["id"])
    key = leadline("intake-key", "create", "--company", company)["key"]
    config = json.dumps({"url": f"http://127.0.0.1:{receiver.server_port}/hook"})
    made = leadline("integration", "create", "--company", company, "--connector", "webhook", "--name", "Hook",
                    "--config", config)

    def push(name):
        body = json.dumps({"lead": {**LEAD, "name": name}}).encode()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"http://{intake}/v1/leads", body, headers))
        return PUSHED.get(timeout=30)

    headers, body = push("Zoë 👰")
    assert Webhook(made["signing_secret"]).verify(body, headers)["lead"]["name"] == "Zoë 👰"
    yield "a push is verified"
    for wrong in [(body.replace(b"80", b"81"), headers), (body, {**headers, "webhook-id": "another"})]:
        try:
            Webhook(made["signing_secret"]).verify(*wrong)
        except WebhookVerificationError:
            continue
        raise AssertionError("a push that was changed on its way is not to be verified")
    yield "what was changed on its way is not"
    fresh = leadline("integration", "rotate-secret", made["id"])["signing_secret"]
    headers, body = push("Ada")
    for secret in (made["signing_secret"], fresh):
        assert Webhook(secret).verify(body, headers)["lead"]["name"] == "Ada"
    yield "the old secret and the new one verify in the grace period"


def main():
    programs = pathlib.Path(sys.argv[1])
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as data:
        private = {name: value for name, value in os.environ.items() if not name.startswith("LEADLINE_")}
        daemon = subprocess.Popen(
            [programs / "leadlined", f"--data-dir={data}", "--allow-egress=127.0.0.0/8", "--log=json",
             "--intake-listen=127.0.0.1:0"],
            stderr=subprocess.PIPE, text=True, env=private,
        )

        def leadline(*args):
            server = f"unix:{data}/control.sock"
            command = [programs / "leadline", *args, "--server", server, "-o", "json"]
            return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

        try:
            for held in check(leadline, intake_of(daemon), receiver):
                print(f"webhook: {held}", flush=True)
        finally:
            daemon.terminate()
            daemon.wait()
            receiver.shutdown()


if __name__ == "__main__":
    main()
