"""The account's client: every resource of either service, against the simulator; and replies of any shape."""

from __future__ import annotations

import io
import json
import wave
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygen_avatar import (
    AuthenticationError,
    Client,
    ConfigurationError,
    InvalidRequestError,
    LiveAvatarOptions,
    NotFoundError,
    Service,
    UsageError,
)
from heygen_avatar import records as all_records
from heygen_avatar.liveavatar import Memory, Persona
from heygen_avatar.records import AvatarRecord, ContextRecord, Record, SessionRecord, TranscriptPage
from heygen_avatar.simulator import Limits
from tests.services import FULL, STREAMING, WAYNE

on_both = pytest.mark.parametrize("service", list(Service), ids=str)


@pytest.fixture
def make_client():
    made = []

    def make(simulator, service, **settings):
        made.append(
            Client(**{"api_key": simulator.api_key, "base_path": simulator.base_path, "service": service, **settings})
        )
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def live(simulator, make_client):
    return make_client(simulator, Service.LIVEAVATAR)


@pytest.fixture
def heygen(simulator, make_client):
    return make_client(simulator, Service.HEYGEN)


def requests_of(client):
    """The paths and queries that a client asks for from now on."""
    asked = []
    original = client._rest.call

    def call(call, **how):
        asked.append((call.method, call.path, dict(call.params or {})))
        return original(call, **how)

    client._rest.call = call
    return asked


# -- what both have


@on_both
def test_avatars_are_listed_and_found_by_id(simulator, make_client, service):
    client = make_client(simulator, service)
    avatars = list(client.avatars.list())
    assert len({avatar.id for avatar in avatars}) == len(avatars) > 2
    first = avatars[0]
    assert first.name and first.status == "ACTIVE" and first.public
    assert first.created_at < datetime.now(timezone.utc)
    assert client.avatars.get(first.id).name == first.name
    with pytest.raises(NotFoundError):
        client.avatars.get("0a0a0a0a-0000-4000-8000-00000000dead")


@on_both
def test_public_avatars_and_ones_own_are_told_apart(simulator, make_client, service):
    client = make_client(simulator, service)
    everyone = {avatar.id for avatar in client.avatars.list()}
    public = {avatar.id for avatar in client.avatars.list(public=True)}
    own = {avatar.id for avatar in client.avatars.list(public=False)}
    assert public and own
    assert public | own == everyone
    assert not public & own


@on_both
def test_voices_are_listed_and_found_by_id(simulator, make_client, service):
    client = make_client(simulator, service)
    voices = list(client.voices.list())
    assert {voice.gender for voice in voices} >= {"male", "female"}
    assert client.voices.get(voices[1].id) == voices[1]
    with pytest.raises(NotFoundError):
        client.voices.get("0a0a0a0a-0000-4000-8000-00000000dead")


@on_both
def test_contexts_are_made_read_changed_and_deleted(simulator, make_client, service):
    contexts = make_client(simulator, service).contexts
    made = contexts.create("one", prompt="Be kind.", opening="Hello!")
    assert (made.name, made.prompt, made.opening) == ("one", "Be kind.", "Hello!")
    assert contexts.get(made.id) == made
    changed = contexts.update(made.id, name="two", prompt="Be brief.")
    assert (changed.id, changed.name, changed.prompt, changed.opening) == (made.id, "two", "Be brief.", "")
    assert made.id in {context.id for context in contexts.list()}
    contexts.delete(made.id)
    assert made.id not in {context.id for context in contexts.list()}
    with pytest.raises(NotFoundError):
        contexts.get(made.id)


@pytest.mark.parametrize("house", [STREAMING, FULL], ids=["streaming", "full"])
def test_sessions_are_seen_while_they_run_and_after(make_simulator, make_client, house):
    simulator = make_simulator()
    client = make_client(simulator, house.service)
    assert list(client.sessions.active()) == []
    with house.started(simulator) as avatar:
        [running] = client.sessions.active()
        assert running.id == avatar.session_id
        client.sessions.stop(running.id)
    assert list(client.sessions.active()) == []
    over = client.sessions.get(avatar.session_id)
    assert over.id in {session.id for session in client.sessions.history()}
    assert over.created_at < datetime.now(timezone.utc)
    with pytest.raises(NotFoundError):
        client.sessions.get("0a0a0a0a-0000-4000-8000-00000000dead")


@on_both
def test_what_is_left_is_in_credits(make_simulator, make_client, service):
    simulator = make_simulator(limits=Limits(credits=7.5))
    assert make_client(simulator, service).account.credits().left == 7.5


@on_both
def test_a_wrong_key_is_an_authentication_error(simulator, make_client, service):
    with pytest.raises(AuthenticationError):
        list(make_client(simulator, service, api_key="wrong").voices.list())


@on_both
def test_no_key_is_named_by_its_variable(monkeypatch, service):
    variable = f"{service.name}_API_KEY"
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigurationError, match=variable):
        Client(service=service)


def test_a_closed_client_refuses(live):
    with live:
        pass
    with pytest.raises(UsageError, match="closed"):
        live.account.credits()


def test_an_empty_id_never_becomes_a_path(live):
    with pytest.raises(InvalidRequestError, match="an id"):
        live.contexts.delete(" ")
    with pytest.raises(NotFoundError):
        live.voices.delete("../secrets/1")


# -- pages


def test_pages_are_fetched_as_they_are_looked_at(live, monkeypatch):
    monkeypatch.setattr("heygen_avatar.resources.PAGE_SIZE", 2)
    for number in range(5):
        live.contexts.create(f"context {number}", prompt="-")
    asked = requests_of(live)
    listing = live.contexts.list()
    assert asked == []
    newest = next(listing).name
    assert newest == "context 4"
    assert [params["page"] for _, _, params in asked] == [1]
    rest = [context.name for context in listing][:4]
    assert rest == ["context 3", "context 2", "context 1", "context 0"]
    assert [params["page"] for _, _, params in asked][:3] == [1, 2, 3]


def test_the_history_of_heygen_comes_in_pages_too(make_simulator, make_client, monkeypatch):
    monkeypatch.setattr("heygen_avatar.resources.PAGE_SIZE", 2)
    simulator = make_simulator()
    made = []
    for _ in range(3):
        with STREAMING.avatar(simulator) as avatar:
            made.append(avatar.new_session(**STREAMING.start).session_id)
    client = make_client(simulator, Service.HEYGEN)
    assert [session.id for session in client.sessions.history()] == made[::-1]


# -- what LiveAvatar has


def test_avatars_and_voices_of_ones_own_can_be_changed(make_simulator, make_client):
    live = make_client(make_simulator(), Service.LIVEAVATAR)
    own = next(live.avatars.list(public=False))
    voice = next(live.voices.list())
    changed = live.avatars.update(own.id, name="Sam the second", default_voice_id=voice.id)
    assert (changed.name, changed.default_voice_id) == ("Sam the second", voice.id)
    live.avatars.delete(own.id)
    assert own.id not in {avatar.id for avatar in live.avatars.list()}


def test_a_voice_of_another_provider_is_bound_renamed_heard_and_deleted(live):
    secret = live.secrets.create("eleven", "key", type="ELEVENLABS_API_KEY")
    bound = live.voices.bind("provider-1", secret_id=secret.id, name="Mine")
    assert bound in {voice.id for voice in live.voices.list(public=False)}
    assert live.voices.rename(bound, "Ours").name == "Ours"
    with wave.open(io.BytesIO(live.voices.preview(bound))) as sound:
        assert sound.getnframes() > 0
    live.voices.delete(bound)
    assert bound not in {voice.id for voice in live.voices.list()}
    live.secrets.delete(secret.id)


def test_a_context_may_have_links_and_tells_its_variables(live):
    context = live.contexts.create(
        "linked", prompt="Greet ${name}.", links=[{"url": "https://example.org", "faq": "It is an example."}]
    )
    assert [(link.url, link.faq) for link in context.links] == [("https://example.org", "It is an example.")]
    assert context.required_dynamic_variables == ("name",)
    live.contexts.delete(context.id)


def test_secrets_are_kept_and_never_told(live):
    made = live.secrets.create("mine", "do-not-tell", type="OPENAI_API_KEY")
    assert (made.name, made.type) == ("mine", "OPENAI_API_KEY")
    [listed] = [secret for secret in live.secrets.list() if secret.id == made.id]
    assert "do-not-tell" not in repr(listed) + json.dumps(listed.raw)
    with pytest.raises(InvalidRequestError, match="ELEVENLABS_API_KEY"):
        live.secrets.create("mine", "do-not-tell", type="PASSWORD")
    live.secrets.delete(made.id)
    assert made.id not in {secret.id for secret in live.secrets.list()}


def test_language_models_of_ones_own_are_made_changed_and_deleted(live):
    secret = live.secrets.create("mine", "key", type="OPENAI_API_KEY")
    models = live.llm_configurations
    made = models.create("Mine", model_name="small", secret_id=secret.id, base_url="https://llm.example/v1")
    assert models.get(made.id) == made
    assert models.update(made.id, model_name="large").model_name == "large"
    with pytest.raises(InvalidRequestError, match="no model"):
        models.update(made.id, model="large")
    assert made.id in {model.id for model in models.list()}
    models.delete(made.id)
    assert made.id not in {model.id for model in models.list()}


def test_a_past_session_can_be_read_remembered_and_forgotten(simulator, live):
    context = live.contexts.create("kind", prompt="Your name is Zora.")
    options = LiveAvatarOptions(persona=Persona(context_id=context.id))
    with FULL.started(simulator, liveavatar=options) as avatar:
        avatar.speak("What is your name?", task_mode="sync")
    page = live.sessions.transcript(avatar.session_id)
    assert [remark.role for remark in page.remarks] == ["user", "avatar"]
    assert page.remarks[0].text == "What is your name?"
    assert not page.session_active
    later = live.sessions.transcript(avatar.session_id, start=page.remarks[1].absolute_timestamp)
    assert [remark.role for remark in later.remarks] == ["avatar"]

    memory = live.memories.create(avatar.session_id)
    assert "What is your name?" in memory.content
    assert [episode.session_id for episode in live.memories.get(memory.id).episodes] == [avatar.session_id]
    assert memory.id in {each.id for each in live.memories.list()}
    reminded = LiveAvatarOptions(persona=Persona(context_id=context.id), memory=Memory(session_memory_id=memory.id))
    with FULL.started(simulator, liveavatar=reminded):
        pass
    live.memories.delete(memory.id)
    assert memory.id not in {each.id for each in live.memories.list()}

    live.sessions.delete_events(avatar.session_id)
    assert live.sessions.transcript(avatar.session_id).remarks == ()
    assert [session.id for session in live.sessions.history(context_id=context.id)]
    live.contexts.delete(context.id)


def test_an_embed_is_made(live):
    context = live.contexts.create("embedded", prompt="-")
    embed = live.embeddings.create(WAYNE, context.id, orientation="vertical")
    assert embed.url.endswith(embed.id)
    assert "iframe" in embed.script
    assert embed.orientation == "vertical"
    live.contexts.delete(context.id)


def test_languages_are_listed(live):
    assert ("English", "en") in {(language.name, language.code) for language in live.account.languages()}


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: list(client.secrets.list()),
        lambda client: client.secrets.create("n", "v", type="OPENAI_API_KEY"),
        lambda client: list(client.llm_configurations.list()),
        lambda client: list(client.memories.list()),
        lambda client: client.embeddings.create(WAYNE, WAYNE),
        lambda client: list(client.account.languages()),
        lambda client: client.sessions.transcript("s"),
        lambda client: client.avatars.delete("a"),
        lambda client: client.voices.preview("v"),
        lambda client: list(client.voices.list(public=True)),
        lambda client: list(client.sessions.history(avatar_id="a")),
        lambda client: client.contexts.create("n", prompt="p", links=[{"url": "u", "faq": "f"}]),
    ],
)
def test_what_heygen_has_not_says_who_has(heygen, ask):
    asked = requests_of(heygen)
    with pytest.raises(InvalidRequestError, match="LiveAvatar has"):
        ask(heygen)
    assert asked == []


# -- replies of any shape

KINDS = [kind for kind in vars(all_records).values() if isinstance(kind, type) and issubclass(kind, Record)]
NAMES = sorted({name for kind in KINDS for field in kind.__attrs_attrs__ for name in field.metadata.get("names", ())})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=8,
)


@given(source=VALUES | st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6))
def test_anything_is_read_as_a_record_that_can_be_shown(source):
    for kind in KINDS:
        record = kind.of(source)
        repr(record).encode()
        assert record.raw == source or record.raw == {}


def test_unknown_fields_are_kept_in_raw():
    avatar = AvatarRecord.of({"id": "a", "mood": "calm"})
    assert (avatar.id, avatar.raw["mood"]) == ("a", "calm")


def test_moments_are_read_from_either_form():
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    for told in ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05", "2026-01-02T04:04:05+01:00", 1_767_323_045):
        assert SessionRecord.of({"created_at": told}).created_at == moment
    assert SessionRecord.of({"created_at": "yesterday"}).created_at is None


def test_either_services_words_are_read():
    assert ContextRecord.of({"knowledge_base_id": "k", "opening": "Hi"}).opening == "Hi"
    assert ContextRecord.of({"id": "k", "opening_text": "Hi"}).opening == "Hi"
    assert TranscriptPage.of(None).remarks == ()
