#!/usr/bin/env python3
"""Walks through the issuing API against a release build, over real sockets, with SQLite or a private Postgres, and prints
what it saw. Ends with an error at the first thing that is not as the documents say.

    cargo build --release && python3 tools/show_issuing_api.py [sqlite|postgres]

Python's standard library; the webhooks are checked with the official library where it is installed
(`pip install standardwebhooks`). The switch is killed in the middle once, and everything has to be there afterwards.
"""

import glob
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

try:
    from standardwebhooks import Webhook, WebhookVerificationError
except ImportError:
    Webhook = None

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.path.join(HERE, "target", "release", "cardswitch")
KEY = "show-issuing-api-key"
HTTP, NETWORK, HOOKS = 18181, 18681, 18999
VAULT_KEY = "7f" * 32


def say(part, text):
    print(f"{part:<12} {text}", flush=True)


def check(is_so, what):
    if not is_so:
        raise SystemExit(f"NOT AS IT SHOULD BE: {what}")


class Postgres:
    """A private cluster. As root it runs as the user `postgres`."""

    def __init__(self, folder):
        self.folder = folder
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb")) or [shutil.which("initdb")]
        self.bin = os.path.dirname(found[-1])
        os.chmod(folder, 0o755)
        os.mkdir(f"{folder}/pg")
        if os.getuid() == 0:
            shutil.chown(f"{folder}/pg", "postgres")
        self.run(f"'{self.bin}/initdb' -D '{folder}/pg/data' -U cardswitch -A trust")
        self.control("start", f"-o \"-k '{folder}/pg' -h ''\"")
        self.run(f"'{self.bin}/createdb' -h '{folder}/pg' -U cardswitch cardswitch")
        self.url = f"postgres://cardswitch@localhost/cardswitch?host={folder}/pg"

    def run(self, command):
        shell = ["su", "postgres", "-s", "/bin/bash", "-c", command] if os.getuid() == 0 else ["bash", "-c", command]
        subprocess.run(shell, check=True, stdout=subprocess.DEVNULL, cwd="/")

    def control(self, what, more=""):
        self.run(f"'{self.bin}/pg_ctl' -D '{self.folder}/pg/data' -w -l '{self.folder}/pg/log' {more} {what}")


class Switch:
    def __init__(self, folder, store):
        self.folder = folder
        self.config = f"{folder}/cardswitch.toml"
        with open(self.config, "w") as file:
            file.write(f'''[data]
dir = "{folder}/data"
[http]
listen = "127.0.0.1:{HTTP}"
[store]
url = "{store}"
[sandbox]
enabled = true
[[network]]
name = "visa"
listen = "127.0.0.1:{NETWORK}"
''')
        self.environment = dict(os.environ, CARDSWITCH_ROOT_KEY=KEY, CARDSWITCH__VAULT__KEY=VAULT_KEY)
        self.process = None

    def start(self):
        log = open(f"{self.folder}/log", "ab")
        self.process = subprocess.Popen([PROGRAM, "serve", "--config", self.config], env=self.environment, stdout=log, stderr=log)
        until(lambda: self.ask("GET", "/readyz")[0] == 200, "the switch is ready")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        check(self.process.wait(30) == 0, "the switch ends by itself when it is told to")

    def run(self, *arguments):
        done = subprocess.run([PROGRAM, *arguments, "--config", self.config], env=self.environment, capture_output=True, text=True)
        check(done.returncode == 0, f"cardswitch {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def ask(self, method, path, body=None, key=KEY, headers=None):
        """Status, headers, body as JSON (or text)."""
        headers = {"Authorization": f"Bearer {key}", **(headers or {})}
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{HTTP}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, parsed(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, error.headers, parsed(error.read())
        except (urllib.error.URLError, ConnectionError):
            return 0, {}, None

    def get(self, path, key=KEY):
        status, _, body = self.ask("GET", f"/v1/{path}", key=key)
        check(status == 200, f"GET {path}: {status} {body}")
        return body

    def post(self, path, body=None, key=KEY, method="POST", headers=None):
        status, _, answer = self.ask(method, f"/v1/{path}", {} if body is None else body, key, headers)
        check(status in (200, 201, 202), f"{method} {path}: {status} {answer}")
        return answer

    def refused(self, path, body=None, key=KEY, method="POST", headers=None):
        """Status and error of what is to be refused."""
        status, _, answer = self.ask(method, f"/v1/{path}", {} if body is None else body, key, headers)
        check(400 <= status < 500, f"{method} {path}: refused, but {status} {answer}")
        return status, answer["error"]

    def pay(self, card, amount, **more):
        return self.post("simulate/authorizations", {"card_id": card, "amount": amount, "currency": "USD", **more})


def parsed(body):
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def until(is_so, what, at_most_s=30):
    end = time.monotonic() + at_most_s
    while time.monotonic() < end:
        if is_so():
            return
        time.sleep(0.05)
    raise SystemExit(f"NOT AS IT SHOULD BE: waited {at_most_s} s until {what}")


def is_signed(secret, body, headers):
    try:
        Webhook(secret).verify(body, headers)
        return True
    except WebhookVerificationError:
        return False


class Receiver:
    """Keeps the webhooks that it gets, and answers 503 as often as it is told to."""

    def __init__(self):
        self.secrets, self.heard, self.refusals, self.checked = [], [], 0, 0
        self.bad = 0
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response(receiver.take(dict(self.headers.items()), body))
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", HOOKS), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, headers, body):
        if self.refusals > 0:
            self.refusals -= 1
            return 503
        headers = {name.lower(): value for name, value in headers.items()}
        if Webhook and not any(is_signed(secret, body, headers) for secret in self.secrets):
            self.bad += 1
            return 401
        self.checked += bool(Webhook)
        self.heard.append(json.loads(body))
        return 204

    def types(self):
        return [event["type"] for event in self.heard]


def resources(switch):
    program = switch.post("programs", {
        "name": "Ads", "network": "visa", "bin": "411111", "bins": ["411111", "422222"], "currency": "USD", "product_type": "prepaid",
        "region": "US", "controls": {"three_ds": {"policy": "silent"}}})
    holder = switch.post("cardholders", {"program_id": program["id"], "home_country": "DE", "name": "Ann"})
    holder = switch.post(f"cardholders/{holder['id']}/verify")
    master = switch.post("accounts", {"program_id": program["id"], "name": "master"})
    child = switch.post("accounts", {"program_id": program["id"], "parent_id": master["id"], "credit_line": 5000})
    switch.post(f"accounts/{master['id']}/top_ups", {"amount": 10_000_000, "currency": "USD", "method": "swift"})
    say("resources", f"program {program['id']} with BINs {program['bins']}, cardholder verified {holder['verified']}, "
        f"account below a master with a credit line of {child['credit_line']}")
    card = switch.post("cards", {"account_id": master["id"], "bin": "422222", "cardholder_id": holder["id"],
                                 "links": [{"type": "project", "id": "p7"}, {"type": "employee", "id": "e1"}]})
    own = switch.post("cards", {"account_id": master["id"], "funding": "own", "links": [{"type": "wallet", "id": "w1"}]})
    check(own["account_id"] != master["id"], "a card with funding own has an account of its own")
    physical = switch.post("cards", {"account_id": master["id"], "type": "physical", "shipping": {
        "address": {"name": "Ann", "line1": "1 Main St", "city": "Berlin", "postal_code": "10115", "country": "DE"}, "method": "standard"}})
    for status in ("in_production", "produced", "shipped", "delivered"):
        physical = switch.post(f"cards/{physical['id']}/shipping", {"status": status})
    check(switch.pay(physical["id"], 100)["decision"]["reason"] == "card_not_activated", "a physical card is activated first")
    switch.post(f"cards/{physical['id']}/activate")
    check(switch.pay(physical["id"], 100)["decision"]["result"] == "approved", "then it pays")
    say("resources", f"cards {card['first6']}…{card['last4']} (chosen BIN), own balance {own['id']}, physical {physical['shipping']['status']} and activated")
    for action, reason in (("freeze", "card_frozen"), ("unfreeze", None)):
        switch.post(f"cards/{card['id']}/{action}")
        check(switch.pay(card["id"], 100)["decision"]["reason"] == reason, f"{action}: {reason}")
    limited = switch.post("cards", {"account_id": master["id"], "links": [{"type": "project", "id": "p7"}],
                                    "controls": {"limits": [{"window": "month", "amount": 1000}]}})
    switch.pay(limited["id"], 700)
    new = switch.post(f"cards/{limited['id']}/reissue", {"reason": "stolen"})
    check(switch.pay(limited["id"], 100)["decision"]["reason"] == "card_stolen", "the old card is stolen")
    check(switch.pay(new["id"], 400)["decision"]["reason"] == "monthly_limit_exceeded", "the limit follows the chain")
    check(new["links"] == limited["links"] and new["replacement_for"] == limited["id"], "links follow the chain")
    renewed = switch.post(f"cards/{card['id']}/renew")
    revealed = switch.post(f"cards/{card['id']}/reveal", {"reason": "the walk"})
    check(switch.refused(f"cards/{card['id']}/reveal")[0] == 400, "a reveal needs a reason")
    say("resources", f"reissued as {new['id']}: limit used up by the old one, old one declined card_stolen; renewed until "
        f"{renewed['exp_year']}-{renewed['exp_month']:02}; revealed {sorted(revealed)}")
    begun = time.monotonic()
    batch = switch.post("card_batches", {"rows": [
        {"account_id": master["id"] if row % 5000 != 7 else "acct_0000000000000", "links": [{"type": "campaign", "id": f"c{row % 10}"}]}
        for row in range(10_000)]})
    until(lambda: switch.get(f"card_batches/{batch['id']}")["finished_at"], "the batch is finished", 120)
    counts = switch.get(f"card_batches/{batch['id']}")
    until(lambda: len(switch.get(f"card_batches/{batch['id']}/rows?status=failed")["data"]) == 2, "failed rows can be listed")
    failed = switch.get(f"card_batches/{batch['id']}/rows?status=failed")["data"]
    say("resources", f"batch of 10,000 in {time.monotonic() - begun:.1f} s: { {name: counts[name] for name in counts if isinstance(counts[name], int)} }, "
        f"row {failed[0]['index']} failed: {failed[0]['error']['code']}")
    token = switch.post("tokens", {"card_id": card["id"], "wallet": "apple_pay", "device": {"type": "phone", "name": "Phone of A."}})
    paid = []
    for action in ("activate", "suspend", "resume", "delete"):
        switch.post(f"tokens/{token['id']}/{action}")
        for field in ("pan_field", "token_field"):
            decision = switch.post("simulate/authorizations", {"token_id": token["id"], "amount": 100, "currency": "USD",
                                                               "token_in": field})["decision"]
            paid.append(f"{action}: {decision['reason'] or '00'}")
    say("resources", "token, in DE2 and in its field: " + ", ".join(paid))
    shown_once(switch, card, revealed)
    of_program(switch, program, master)
    return program, master, card, own


def shown_once(switch, card, revealed):
    """A link shows a card once, without a key, as JSON or as a page."""
    link = switch.post(f"cards/{card['id']}/reveal_links", {"reason": "her own screen", "expires_in_seconds": 30})
    status, headers, shown = switch.ask("GET", link["url"], key="none")
    check(status == 200 and shown["pan"] == revealed["pan"] and headers["Cache-Control"] == "no-store", "the link shows the card")
    again, _, error = switch.ask("GET", link["url"], key="none")
    check(again == 410, "and no second time")
    page = switch.post(f"cards/{card['id']}/reveal_links", {"reason": "her own screen"})
    _, headers, html = switch.ask("GET", page["url"], key="none", headers={"Accept": "text/html"})
    check(revealed["pan"][:4] in html and "script" not in html, "as a page without scripts")
    say("resources", f"reveal link: {status}, then {again} {error['error']['code']}; as a page under {headers['Content-Security-Policy'][:18]}…")


def of_program(switch, program, master):
    """Facts of BINs, a master account, a cardholder set later, a rule held against the history."""
    changed = switch.post(f"programs/{program['id']}", {
        "bins": ["411111", {"bin": "422222", "region": "EU", "product_type": "credit"}], "master_account_id": master["id"]}, method="PATCH")
    drawn = switch.post("cards", {"program_id": program["id"]})
    check(drawn["account_id"] == master["id"] and drawn["cardholder_id"] is None, "an order that names the program alone draws on its master account")
    holder = switch.post("cardholders", {"program_id": program["id"], "home_country": "FR", "name": "Bob"})
    held = switch.post(f"cards/{drawn['id']}", {"cardholder_id": holder["id"]}, method="PATCH")
    check(held["cardholder_id"] == holder["id"], "a card gets its cardholder later")
    inquired = switch.post("simulate/balance_inquiries", {"card_id": drawn["id"]})
    check(inquired["status"] == "recorded", "an inquiry leaves nothing open")
    rule = switch.post("rules", {"program_id": program["id"], "name": "small", "expression": "amount < 500", "action": "decline"})
    test = switch.post(f"rules/{rule['id']}/backtests", {"examples": 1})
    path = f"rules/{rule['id']}/backtests/{test['id']}"
    until(lambda: switch.get(path)["ended_at"], "the backtest has ended")
    result = switch.get(path)
    check(result["status"] == "completed", f"the backtest is completed: {result}")
    numbers = {name: value for name, value in result["result"].items() if isinstance(value, int)}
    say("resources", f"BINs {changed['bin_details']}; card {drawn['id']} on the master account, cardholder set later; backtest: {numbers}")


def links(switch, program, master):
    cards = [switch.post("cards", {"account_id": master["id"], "links": [{"type": "ad_account", "id": "77"}, {"type": "budget", "id": "q4"}]}) for _ in range(3)]
    switch.post("links/budget/q4", {"controls": {"limits": [{"window": "month", "amount": 5000}]}}, method="PUT")
    check(switch.pay(cards[0]["id"], 4000)["decision"]["result"] == "approved", "within the budget")
    over = switch.get(f"authorizations/{switch.pay(cards[1]['id'], 2000)['id']}")
    step = next(step for step in over["trace"] if step["result"] == "fail")
    say("links", f"budget of 5000 on a linked object, 4000 spent by one card; 2000 by another: {over['decision']['reason']} {step['detail']}")
    frozen = switch.post("links/ad_account/77/freeze")
    late = switch.post("cards", {"account_id": master["id"], "links": [{"type": "ad_account", "id": "77"}]})
    declined = switch.pay(late["id"], 100)
    check(declined["decision"]["reason"] == "card_frozen", "a card linked later is frozen too")
    until(lambda: len([1 for event in switch.get("events?type=card.frozen&link_type=ad_account&link_id=77")["data"]]) >= 3, "card.frozen of each card")
    told = switch.get("events?type=card.frozen&link_type=ad_account&link_id=77")["data"]
    say("links", f"all cards of ad_account 77 frozen in one call ({frozen['status']}); a card linked later declines card_frozen; {len(told)} events card.frozen")
    switch.post("links/ad_account/77/unfreeze")
    check(switch.pay(late["id"], 100)["decision"]["result"] == "approved", "unfrozen")
    switch.post("links/ad_account/77/close")
    check(switch.get(f"cards/{cards[0]['id']}")["status"] == "closed", "closed with its object")
    found = switch.get("authorizations?link_type=budget&link_id=q4")["data"]
    say("links", f"closed: its cards are closed; {len(found)} authorizations found by link budget/q4, each with its links {[link['id'] for link in found[0]['links']]}")


def money_in(switch, program, master, own):
    path = f"accounts/{master['id']}/top_ups"
    announced = switch.post(path, {"amount": 10_000, "currency": "USD", "method": "sepa", "external_reference": "W1", "settle": False})
    csv = b"reference,amount,currency,date\nW1,10000,USD,2026-11-27\nnobody,5,USD,2026-11-27\n"
    status, _, lines = switch.ask("POST", "/v1/incoming_payments", csv, headers={"Content-Type": "text/csv"})
    check(status == 200, f"incoming payments: {status} {lines}")
    usdt = switch.post(path, {"amount": 1_020_000, "currency": "USDT", "method": "usdt"})
    say("money in", f"announced {announced['status']}, a file of incoming payments: {lines['counts']}; 1.02 USDT credited as {usdt['settled_amount']} cents")
    headers = {"Idempotency-Key": "move-once"}
    before = switch.get(f"accounts/{own['account_id']}")["available"]
    moves = [switch.post("transfers", {"from_account_id": master["id"], "to_account_id": own["account_id"], "amount": 2500,
                                       "currency": "USD"}, headers=headers)["id"] for _ in range(3)]
    back = switch.post("transfers", {"from_account_id": own["account_id"], "to_account_id": master["id"], "amount": 500, "currency": "USD"})
    after = switch.get(f"accounts/{own['account_id']}")["available"]
    check(len(set(moves)) == 1 and after - before == 2000, "three repeats move once")
    switch.post(f"accounts/{own['account_id']}", {"low_balance": {"below": 1000}, "auto_top_up": {"below": 1500, "amount": 3000, "per_day": 2}}, method="PATCH")
    switch.pay(own["id"], 1800)
    filled = switch.get(f"accounts/{own['account_id']}")["available"]
    check(filled == 3200, f"filled by its rule: {filled}")
    say("money in", f"transfer three times under one Idempotency-Key moved once, {back['status']} back; auto top-up: 200 left became {filled}")
    wallet = "link_type=wallet&link_id=w1"
    until(lambda: len(switch.get(f"ledger_entries?{wallet}")["data"]) >= 3, "the ledger tells of the wallet")
    found = {name: switch.get(f"{name}?{wallet}&limit=100")["data"] for name in ("accounts", "transfers", "top_ups", "ledger_entries")}
    posted = sum(row["amount"] for row in found["ledger_entries"])
    check(posted == switch.get(f"accounts/{own['account_id']}")["posted"], "all entries of the wallet are its balance")
    check([row["id"] for row in found["accounts"]] == [own["account_id"]] and moves[0] in [row["id"] for row in found["transfers"]], "account and transfers by the wallet")
    say("money in", f"found by the wallet that the card is linked to: {({name: len(rows) for name, rows in found.items()})}, which add up to {posted}")


def fees(switch):
    schedule = switch.post("fee_schedules", {"name": "Standard", "currency": "USD", "time_zone": "UTC", "items": [
        {"kind": "set_up", "fee": {"amount": 1000}},
        {"kind": "issue_virtual", "fee": {"amount": 200}, "reseller_mark_up": {"amount": 50}},
        {"kind": "top_up", "fee": {"basis_points": 300, "min": 100}, "reseller_mark_up": {"basis_points": 100}},
        {"kind": "foreign_exchange", "fee": {"basis_points": 150}, "reseller_mark_up": {"basis_points": 50}},
        {"kind": "decline", "fee": {"amount": 10}}]})
    program = switch.post("programs", {"name": "Fees", "network": "visa", "bin": "401288", "currency": "USD", "fee_schedule": schedule["id"]})
    preview = switch.post(f"programs/{program['id']}/fee_preview", {"kind": "top_up", "amount": 100_000})
    account = switch.post("accounts", {"program_id": program["id"]})["id"]
    switch.post(f"accounts/{account}/top_ups", {"amount": 100_000, "currency": "USD", "method": "swift"})
    card = switch.post("cards", {"account_id": account})["id"]
    switch.pay(card, 999_999)
    switch.post("exchange_rates", {"source": "the walk", "rates": [{"from": "EUR", "to": "USD", "rate": "1.10"}]}, method="PUT")
    abroad = switch.post("simulate/authorizations", {"card_id": card, "amount": 1000, "currency": "EUR"})
    switch.post("simulate/clearings", {"authorization_id": abroad["id"], "amount": 1000})
    until(lambda: len(switch.get(f"fees?account_id={account}")["data"]) == 5, "five fees are listed")
    charged = {fee["kind"]: fee["amount"] for fee in switch.get(f"fees?account_id={account}")["data"]}
    posted = switch.get(f"accounts/{account}")["posted"]
    entries = switch.get(f"accounts/{account}/ledger_entries")["data"]
    check(sum(entry["amount"] for entry in entries) == posted, "the ledger adds up to posted")
    check(charged["top_up"] == preview["total"], "charged as it was previewed")
    say("fees", f"previewed {preview['total']} for 1,000.00 topped up; charged {charged}; ledger of {len(entries)} entries adds up to {posted}")


def permissions(switch, program, master, card):
    check(switch.refused("cards", {"account_id": master["id"]}, key="csk_nobody")[0] == 401, "an unknown key is 401")
    made = {preset: switch.post("api_keys", {"name": preset, "preset": preset, "program_ids": [program["id"]]})
            for preset in ("owner", "finance", "support", "developer", "auditor")}
    status, error = switch.refused(f"cards/{card['id']}/reveal", {"reason": "curious"}, key=made["auditor"]["key"])
    other = switch.post("programs", {"name": "Others", "network": "visa", "bin": "453957", "currency": "USD"})
    foreign = switch.post("accounts", {"program_id": other["id"]})
    hidden, _, _ = switch.ask("GET", f"/v1/accounts/{foreign['id']}", key=made["owner"]["key"])
    check((status, hidden) == (403, 404), f"403 and 404, but {status} and {hidden}")
    say("permissions", f"presets {list(made)}; wrong key 401; wrong scope {status} {error['code']}: {error['message']}; another program's account {hidden}")
    two = switch.post("programs", {"name": "Two", "network": "visa", "bin": "400000", "currency": "USD", "second_approver": {"top_ups": {"above": 100_000}, "limit_raises": True}})
    account = switch.post("accounts", {"program_id": two["id"]})
    ann, bob = (switch.post("api_keys", {"name": name, "preset": "owner", "program_ids": [two["id"]]})["key"] for name in ("ann", "bob"))
    waits = switch.post(f"accounts/{account['id']}/top_ups", {"amount": 200_000, "currency": "USD", "method": "swift"}, key=ann)
    own, error = switch.refused(f"approvals/{waits['id']}/approve", key=ann)
    switch.post(f"approvals/{waits['id']}/approve", key=bob)
    check(switch.get(f"accounts/{account['id']}")["available"] == 200_000, "approved by a second person")
    raised = switch.post(f"accounts/{account['id']}", {"credit_line": 5000}, key=ann, method="PATCH")
    check(raised["object"] == "approval", "a raised limit waits too")
    say("permissions", f"large top-up {waits['status']}; by himself {own} {error['code']}; by another: paid; a raised credit line waits as {raised['id']}")
    switch.post(f"approvals/{raised['id']}/approve", key=bob)
    entries = lambda: switch.get(f"audit_log?object_id={account['id']}")["data"]
    until(lambda: any(entry["before"] and entry["after"] for entry in entries()), "the audit log has before and after")
    entry = next(entry for entry in entries() if entry["before"] and entry["after"])
    say("permissions", f"audit log: {entry['action']} by {entry['api_key_name']}, credit line {entry['before'].get('credit_line')} before, {entry['after'].get('credit_line')} after")


def webhooks(switch, receiver, program, master):
    endpoint = switch.post("webhook_endpoints", {"url": f"http://127.0.0.1:{HOOKS}/", "events": ["*"], "ordering": "card", "program_ids": [program["id"]]})
    receiver.secrets.append(endpoint["secret"])
    status, error = switch.refused("webhook_endpoints", {"url": "https://169.254.169.254/latest", "events": ["*"]})
    # The first event of the card: the others wait behind it.
    receiver.refusals = 1
    card = switch.post("cards", {"account_id": master["id"]})
    held = switch.pay(card["id"], 1000)
    switch.post("simulate/clearings", {"authorization_id": held["id"], "amount": 900})
    switch.pay(card["id"], 99_999_999)
    wanted = {"card.created", "authorization.approved", "transaction.settled", "authorization.declined"}
    until(lambda: wanted <= set(receiver.types()), f"heard of {wanted}", 60)
    say("webhooks", f"after an answer of 503, tried again; heard {sorted(set(receiver.types()))}; {receiver.checked} checked by the official library; "
        f"an inner address {status} {error['code']}")
    until(lambda: switch.get(f"deliveries?webhook_endpoint_id={endpoint['id']}")["data"], "the log has deliveries")
    log = switch.get(f"deliveries?webhook_endpoint_id={endpoint['id']}&limit=100")["data"]
    outcomes = sorted({delivery["outcome"] for delivery in log})
    until(lambda: progress(switch, endpoint)[1] == 0, "nothing waits to be tried again")
    count = len(receiver.heard)
    switch.post(f"webhook_endpoints/{endpoint['id']}/replay", {"since": endpoint["created_at"]})
    until(lambda: len(receiver.heard) >= 2 * count and progress(switch, endpoint)[1] == 0, f"{count} events are told twice")
    receiver.secrets = [switch.post(f"webhook_endpoints/{endpoint['id']}/rotate_secret", {"overlap_seconds": 600})["secret"]]
    ping = switch.post(f"webhook_endpoints/{endpoint['id']}/ping")
    say("webhooks", f"log of deliveries with outcomes {outcomes}; replay told all {count} again; pinged with the new secret: {ping['status']}")
    check(receiver.bad == 0, f"{receiver.bad} webhooks had a wrong signature")
    return endpoint


def progress(switch, endpoint):
    where = switch.get(f"webhook_endpoints/{endpoint['id']}")["progress"]
    return where["after"], where["waiting"]


def reads(switch, card):
    authorization = switch.get("authorizations?limit=1")["data"][0]
    filters = ["card_id", "account_id", "program_id", "status", "stan", "rrn", "merchant_name", "mcc", "currency", "kind"]
    flat = {**authorization, **authorization.get("merchant", {}), **authorization.get("network", {})}
    flat["merchant_name"] = authorization["merchant"]["name"]
    slowest, asked = 0, []
    for name in filters:
        if flat.get(name) is None:
            continue
        begun = time.monotonic()
        path = f"authorizations?{name}={urllib.request.quote(str(flat[name]))}"
        rows = switch.get(path)["data"]
        slowest = max(slowest, time.monotonic() - begun)
        check(any(row["id"] == authorization["id"] for row in rows), f"{path} finds it")
        asked.append(name)
    refused = switch.get("authorizations?result=declined&limit=100")["data"]
    by_rule = next(row for row in refused if row["decision"]["rule_id"])
    rows = switch.get(f"authorizations?rule_id={by_rule['decision']['rule_id']}")["data"]
    check(any(row["id"] == by_rule["id"] for row in rows), "a payment by the rule that declined it")
    posted = switch.get("transactions?limit=1")["data"][0]
    rows = switch.get(f"authorizations?transaction_id={posted['id']}")["data"]
    check([row["id"] for row in rows] == [posted["authorization_id"]], "a payment by its transaction")
    asked += ["rule_id", "transaction_id"]
    limited = switch.get(f"cards?account_id={card['account_id']}&link_type=budget&link_id=q4")["data"][0]
    spend = switch.get(f"cards/{limited['id']}/spend")
    pages, after, ids = 0, "", []
    while True:
        page = switch.get(f"cards?limit=100{after}")
        ids += [row["id"] for row in page["data"]]
        pages += 1
        if not page["has_more"]:
            break
        after = f"&starting_after={page['data'][-1]['id']}"
    check(len(ids) == len(set(ids)) and len(ids) > 10_000, "each card once")
    say("reads", f"found by each of {asked}, slowest {slowest * 1000:.0f} ms; {len(ids)} cards in {pages} pages, each once; spend: {[(limit['window'], limit['used'], limit['left']) for limit in spend['limits']]}")


def conventions(switch, master, card):
    spec = switch.ask("GET", "/openapi.json")[2]
    page = switch.ask("GET", "/docs")[0]
    with open(os.path.join(HERE, "docs", "openapi.json")) as file:
        check(json.load(file) == spec, "the document that is served is the one in docs")
    etag = switch.ask("GET", f"/v1/cards/{card['id']}")[1]["etag"]
    switch.post(f"cards/{card['id']}", {"controls": {"mcc": {"block": ["7995"]}}}, method="PATCH", headers={"If-Match": etag})
    stale, error = switch.refused(f"cards/{card['id']}", {"controls": {}}, method="PATCH", headers={"If-Match": etag})
    reused, again = switch.refused("transfers", {"amount": 1}, headers={"Idempotency-Key": "move-once"})
    status, headers, _ = switch.ask("GET", "/v1/programs")
    names = [name for name in headers if name.lower().startswith(("x-request-id", "request-id", "ratelimit", "x-ratelimit"))]
    bad, structured = switch.refused("cards", {"account_id": 7})
    say("conventions", f"OpenAPI {spec['openapi']} with {len(spec['paths'])} paths, as checked in; /docs {page}; stale ETag {stale} {error['code']}; "
        f"a reused Idempotency-Key {reused} {again['code']}; headers {names}; {bad} {structured['code']} param={structured['param']}")


def sandbox(switch, master):
    card = switch.post("cards", {"account_id": master["id"]})["id"]
    done = []

    def simulate(what, body):
        answer = switch.post(f"simulate/{what}", body)
        done.append(f"{what} {answer['simulated']['response_code'] if 'simulated' in answer else sorted(answer)}")
        return answer

    held = switch.pay(card, 5000, message="request", kind="pre_authorization")["id"]
    simulate("increments", {"authorization_id": held, "amount": 700})
    simulate("reversals", {"authorization_id": held, "remaining_amount": 3000})
    simulate("clearings", {"authorization_id": held, "amount": 2000, "final": True})
    simulate("advices", {"card_id": card, "amount": 100, "currency": "USD"})
    simulate("refunds", {"card_id": card, "amount": 50, "currency": "USD"})
    simulate("force_posts", {"card_id": card, "amount": 60, "currency": "USD"})
    simulate("balance_inquiries", {"card_id": card})
    secure = switch.pay(card, 100, three_ds="authenticated")
    say("sandbox", f"authorization, {', '.join(done)}, 3-D Secure {secure['decision']['result']}")


def card_data(switch, folder, numbers):
    switch.stop()
    found, read = [], 0
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            try:
                with open(path, "rb") as file:
                    content = file.read()
            except OSError:
                continue
            read += len(content)
            found += [path for number in numbers if number.encode() in content]
    check(not found, f"card numbers in {found}")
    status = switch.run("vault", "status")
    switch.run("vault", "rotate-data-key")
    say("card data", f"{len(numbers)} revealed card numbers in none of {read:,} bytes of journal, vault, tables and logs; data key rotated; {status.splitlines()[0]}")
    verified = switch.run("journal", "verify").strip().splitlines()
    rebuilt = switch.run("store", "rebuild").strip().splitlines()
    say("journal", f"{'; '.join(verified[-2:])}; {rebuilt[-1] if rebuilt else 'rebuilt'}")


def main():
    store = sys.argv[1] if len(sys.argv) > 1 else "sqlite"
    check(store in ("sqlite", "postgres"), "the store is sqlite or postgres")
    folder = tempfile.mkdtemp(prefix="issuing-")
    postgres = Postgres(folder) if store == "postgres" else None
    switch = Switch(folder, postgres.url if postgres else "sqlite")
    receiver = Receiver()
    try:
        switch.start()
        # Events are kept where somebody subscribes: this one reads them.
        switch.post("webhook_endpoints", {"events": ["*"]})
        program, master, card, own = resources(switch)
        links(switch, program, master)
        money_in(switch, program, master, own)
        fees(switch)
        permissions(switch, program, master, card)
        endpoint = webhooks(switch, receiver, program, master)
        reads(switch, card)
        conventions(switch, master, card)
        sandbox(switch, master)
        numbers = [switch.post(f"cards/{each}/reveal", {"reason": "the walk"})["pan"] for each in (card["id"], own["id"])]
        before = {path: switch.get(path) for path in (f"accounts/{master['id']}", f"cards/{card['id']}", f"webhook_endpoints/{endpoint['id']}")}
        heard = len({event["id"] for event in receiver.heard} if "id" in receiver.heard[0] else receiver.heard)
        last = switch.post("cards", {"account_id": master["id"]}, headers={"Idempotency-Key": "before-the-kill"})
        switch.kill()
        switch.start()
        again = switch.post("cards", {"account_id": master["id"]}, headers={"Idempotency-Key": "before-the-kill"})
        check(last["id"] == again["id"], "the same card under its Idempotency-Key after kill -9")
        check(all(switch.get(path)["id"] == before[path]["id"] for path in before), "all is there after kill -9")
        balances = [switch.get(f"accounts/{master['id']}")[name] == before[f"accounts/{master['id']}"][name] for name in ("posted", "held")]
        check(all(balances), "balances are as before kill -9")
        until(lambda: any(event["data"].get("card", {}).get("id") == last["id"] for event in receiver.heard), "told of the card from before the kill", 60)
        say("kill -9", f"balances, cards and endpoint as before; the repeat under its Idempotency-Key gave the same card; its webhook came ({heard} before)")
        card_data(switch, folder, numbers)
        switch.start()
        check(switch.get(f"cards/{card['id']}")["id"] == card["id"], "it starts on the rebuilt tables")
        switch.stop()
        say("", f"all as it should be, with {store}")
    finally:
        if switch.process and switch.process.poll() is None:
            switch.process.kill()
        if postgres:
            postgres.control("stop", "-m immediate")
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
