"""The guard before a small application and before the real one: who is let in, what is refused, what every answer carries."""

import asyncio
import re

import httpx
import pytest

from workbench.access import Places, Role, address_names
from workbench.ui.guard.guard import Guard, Policy, fresh_token
from workbench.ui.guard.limits import Limits
from workbench.ui.guard.users import add_user, read_users

TOKEN = "a-word-that-nobody-guesses"
HERE = "http://127.0.0.1:7860"
PASSWORD = "correct horse battery"


async def echo(scope, receive, send):
    """Reads the body and answers with who asks, how much came, and gradio's habit of letting every origin in."""
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    principal = scope["state"]["principal"]
    foreign = [(b"access-control-allow-origin", b"http://evil.example"), (b"access-control-allow-credentials", b"true")]
    headers = [(b"content-type", b"text/html"), *foreign]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": f"{principal.role}:{principal.name}:{size}".encode()})


class Client:
    """A browser with cookies in front of a guard, synchronous for the tests' sake."""

    def __init__(self, policy, base=HERE):
        self.guard = Guard(echo, policy)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.guard), base_url=base)

    def __call__(self, method, path, **options):
        return asyncio.run(self.http.request(method, path, **options))


@pytest.fixture(scope="module")
def users(tmp_path_factory):
    file = tmp_path_factory.mktemp("users") / "users.yaml"
    add_user(file, "ada", PASSWORD, Role.OWNER)
    add_user(file, "bob", PASSWORD + "!", Role.USER)
    return read_users(file)


def test_on_ones_own_machine_everybody_there_is_the_owner():
    assert Client(Policy())("GET", "/x").text == "owner:owner:0"


@pytest.mark.parametrize("headers", [
    {"host": "evil.example"}, {"host": "127.0.0.1.evil.example:7860"}, {"host": "192.168.0.7:7860"}, {"host": ""}, {"host": "["},
    {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:9999"},
])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_names_and_other_sites_are_refused(method, headers):
    answer = Client(Policy())(method, "/x", headers=headers)
    assert answer.status_code == 403 and answer.text.endswith(".")


def test_a_cross_site_post_without_an_origin_is_refused():
    assert Client(Policy())("POST", "/x", headers={"sec-fetch-site": "cross-site"}).status_code == 403


def test_every_answer_is_secured_and_no_origin_is_let_in():
    client = Client(Policy(token=TOKEN))
    answers = [client("GET", "/x"), client("GET", "/login"), client("GET", "/x", headers={"host": "evil.example"}),
               client("GET", "/x", headers={"authorization": f"Bearer {TOKEN}"})]
    for answer in answers:
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", ["/en/gradio_api/file=/x/page.html", "/en/gradio_api/file/x"])
def test_files_that_a_person_made_are_downloads(path):
    assert Client(Policy())("GET", path).headers["content-disposition"].startswith("attachment")


def test_without_the_token_nothing_but_the_login_page_answers():
    client = Client(Policy(token=TOKEN))
    assert client("GET", "/x").status_code == 401
    assert client("POST", "/en/gradio_api/queue/join").status_code == 401
    page = client("GET", "/x", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/login")
    assert 'name="token"' in client("GET", "/login").text


def test_the_printed_address_lets_the_owner_in_and_hides_the_token():
    client = Client(Policy(token=TOKEN))
    answer = client("GET", f"/en/?token={TOKEN}&__theme=dark")
    assert (answer.status_code, answer.headers["location"]) == (303, "/en/?__theme=dark")
    assert re.search("HttpOnly; SameSite=Lax", answer.headers["set-cookie"])
    assert client("GET", "/x").text == "owner:owner:0"


def test_a_redirect_never_leads_to_another_host():
    answer = Client(Policy(token=TOKEN))("GET", f"{HERE}//evil.example/?token={TOKEN}")
    assert answer.headers["location"] == "/evil.example/"


def test_a_session_that_was_ended_cannot_be_replayed():
    client = Client(Policy(token=TOKEN))
    client("GET", f"/?token={TOKEN}")
    kept = dict(client.http.cookies)
    client("POST", "/logout")
    client.http.cookies.update(kept)
    assert client("GET", "/x").status_code == 401


def test_sessions_end_with_time():
    now = [0.0]
    client = Client(Policy(token=TOKEN))
    client.guard.sessions._clock = lambda: now[0]
    client("GET", f"/?token={TOKEN}")
    now[0] += 11 * 3600
    assert client("GET", "/x").status_code == 200
    now[0] += 13 * 3600
    assert client("GET", "/x").status_code == 401


def test_names_and_passwords(users):
    client = Client(Policy(users=users))
    assert client("POST", "/login", data={"name": "bob", "password": PASSWORD}).status_code == 401
    assert client("POST", "/login", data={"name": "nobody", "password": PASSWORD}).status_code == 401
    assert client("POST", "/login", data={"name": "bob", "password": PASSWORD + "!"}).headers["location"] == "/"
    assert client("GET", "/x").text == "user:bob:0"


@pytest.mark.parametrize("way", ["form", "address", "bearer"])
def test_guessing_is_stopped_after_ten_tries_a_minute(way):
    client = Client(Policy(token=TOKEN))
    tries = {
        "form": lambda word: client("POST", "/login", data={"token": word}),
        "address": lambda word: client("GET", f"/?token={word}"),
        "bearer": lambda word: client("GET", "/x", headers={"authorization": f"Bearer {word}"}),
    }[way]
    for number in range(10):
        assert tries(f"guess-{number}").status_code == 401
    assert tries(TOKEN).status_code in (401, 429)  # even the right word, until the minute is over
    assert client("POST", "/login", data={"token": TOKEN}).headers["retry-after"]


def test_a_program_that_goes_on_asking_while_locked_out_is_let_in_after_the_window():
    now, client = [0.0], Client(Policy(token=TOKEN))
    client.guard._failed._clock = lambda: now[0]

    def ask(word):
        return client("GET", "/x", headers={"authorization": f"Bearer {word}"}).status_code

    assert {ask("guess") for _ in range(10)} == {401}
    for _ in range(11):
        now[0] += 5
        assert ask(TOKEN) == 401
    now[0] += 6
    assert ask(TOKEN) == 200


def test_nobody_spends_what_the_owner_may_send():
    client = Client(Policy(token=TOKEN, limits=Limits(posts_per_second=0.01, posts_at_once=5)))
    assert {client("POST", "/favicon.ico").status_code for _ in range(20)} == {401}
    assert client("GET", "/favicon.ico").text.startswith("visitor:")
    assert client("POST", "/x", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_class_behind_one_address_may_log_in_at_once(users):
    client = Client(Policy(users=users))

    async def all_at_once():
        form = {"name": "bob", "password": PASSWORD + "!"}
        return await asyncio.gather(*(client.http.post("/login", data=form) for _ in range(25)))

    assert {answer.status_code for answer in asyncio.run(all_at_once())} == {303}


def test_a_body_over_the_limit_is_refused_before_and_while_it_arrives():
    client = Client(Policy(limits=Limits(body_bytes=1000, upload_bytes=5000)))
    assert client("POST", "/x", content=b"x" * 1001).status_code == 413

    async def stream():
        for _ in range(11):
            yield b"x" * 100

    assert client("POST", "/x", content=stream()).status_code == 413
    assert client("POST", "/en/gradio_api/upload", content=b"x" * 5000).text == "owner:owner:5000"
    assert client("POST", "/x", headers={"content-length": "-1"}, content=b"").status_code == 413


def test_uploads_of_one_client_are_limited_in_all():
    client = Client(Policy(limits=Limits(upload_bytes=5000, upload_total_bytes=8000)))
    answers = [client("POST", "/en/gradio_api/upload", content=b"x" * 4000).status_code for _ in range(3)]
    assert answers == [200, 200, 429]


def test_uploads_without_a_session_are_limited_by_their_address():
    limits = Limits(upload_bytes=5000, upload_total_bytes=8000)
    client = Client(Policy(token=TOKEN, demo=True, visitor_limits=limits))
    answers = [client("POST", "/en/gradio_api/upload", content=b"x" * 4000).status_code for _ in range(3)]
    assert answers == [200, 200, 429]


def test_visitors_of_an_address_who_let_their_cookies_go_are_counted_on_with_it():
    client = Client(Policy(token=TOKEN, demo=True, visitor_limits=Limits(upload_total_bytes=5000, address_upload_bytes=8000)))
    names, answers = set(), []
    for _ in range(3):
        client.http.cookies.clear()
        names.add(client("GET", "/en/", headers={"accept": "text/html"}).text.split(":")[1])
        answers.append(client("POST", "/en/gradio_api/upload", content=b"x" * 4000).status_code)
    assert answers == [200, 200, 429] and len(names) == 3 and len({address_names(name) for name in names}) == 1
    client.http.cookies.clear()
    assert client("POST", "/en/gradio_api/upload", headers={"authorization": f"Bearer {TOKEN}"}, content=b"x" * 4000).status_code == 200


def test_a_flood_of_posts_is_slowed():
    client = Client(Policy(limits=Limits(posts_per_second=1, posts_at_once=5)))
    codes = [client("POST", "/x").status_code for _ in range(8)]
    assert codes[:5] == [200] * 5 and codes[-1] == 429


def test_visitors_of_a_demo_are_told_apart_and_keep_their_session():
    policy = Policy(token=TOKEN, demo=True)
    one, two = Client(policy), Client(policy)
    for client in (one, two):
        client("GET", "/en/", headers={"accept": "text/html"})
    first = one("GET", "/x").text
    assert first.startswith("visitor:visitor-") and one("GET", "/x").text == first
    assert two("GET", "/x").text != first
    one("GET", f"/?token={TOKEN}")
    assert one("GET", "/x").text == "owner:owner:0"


def test_all_who_keep_no_cookie_at_an_address_are_one_visitor_and_no_other():
    policy = Policy(token=TOKEN, demo=True)
    client, other = Client(policy), Client(policy)
    names = {client("GET", "/x").text for _ in range(3)}
    assert len(names) == 1 and names.pop().startswith("visitor:visitor-")
    assert other("GET", "/x").text != client("GET", "/x").text, "another server's salt"
    kept = client("GET", "/en/", headers={"accept": "text/html"}).text
    assert client("GET", "/x").text == kept != Client(policy)("GET", "/x").text


@pytest.mark.parametrize(("path", "language", "said"), [
    ("/zh/", "en", "Bearer"), ("/zh/x", "en", "Bearer"), ("/x", "zh-CN,zh;q=0.9", "Bearer"), ("/en/x", "zh", "not logged in"),
])  # fmt: skip
def test_a_refusal_is_said_in_the_readers_language(path, language, said):
    client, policy = Client(Policy(token=TOKEN)), {"accept-language": language}
    assert said in client("POST", path, headers=policy).text
    assert client("POST", "/zh/gradio_api/queue/join", headers=policy).json()["detail"].endswith("。")
    page = client("POST", path, headers={**policy, "accept": "text/html", "host": "evil.example"})
    assert page.status_code == 403 and "--allow-host" in page.text and "<h1>" in page.text


def test_a_websocket_is_closed():
    sent = []

    async def run():
        async def receive():
            return {"type": "websocket.connect"}

        async def send(message):
            sent.append(message)

        await Guard(echo, Policy())({"type": "websocket", "path": "/", "headers": []}, receive, send)

    asyncio.run(run())
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_places_follow_the_principal():
    places = Places(hub=False)
    assert Policy(places=places).owner.places is places


def test_tokens_differ():
    assert fresh_token() != fresh_token() and len(fresh_token()) >= 32


def test_users_are_refused_with_a_sentence(tmp_path):
    from workbench.errors import SettingsError

    file = tmp_path / "users.yaml"
    for content in ("", "- a", "ada: {password: plain, role: owner}", "ada: {password: $argon2id$x, role: king}", "\x00"):
        file.write_text(content)
        file.chmod(0o600)
        with pytest.raises(SettingsError):
            read_users(file)
    with pytest.raises(SettingsError):
        add_user(file, "../x", PASSWORD, Role.USER)
    with pytest.raises(SettingsError):
        add_user(tmp_path / "new.yaml", "ada", "short", Role.USER)
    for taken in ("owner", "visitor-1"):  # whoever had such a name would see what is the owner's, or a visitor's
        with pytest.raises(SettingsError, match="the server's own"):
            add_user(tmp_path / "new.yaml", taken, PASSWORD, Role.USER)
    add_user(tmp_path / "new.yaml", "ada", PASSWORD, Role.USER)
    content = (tmp_path / "new.yaml").read_text()
    (tmp_path / "new.yaml").write_text(content.replace("ada", "owner"))
    with pytest.raises(SettingsError, match="the server's own"):
        read_users(tmp_path / "new.yaml")
    (tmp_path / "new.yaml").chmod(0o644)
    with pytest.raises(SettingsError, match="read by others"):
        read_users(tmp_path / "new.yaml")
