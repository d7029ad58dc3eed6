"""LiveAvatar's avatars and voices over HTTP (liveavatar §1.3, §1.4)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable

from aiohttp import web

from heygen_avatar.simulator.liveavatar.answers import foreign, invalid, not_found, read_page, refusal, success
from heygen_avatar.simulator.liveavatar.door import Call, Visit
from heygen_avatar.simulator.liveavatar.library import Avatar, Library, Voice, changed
from heygen_avatar.simulator.stage import SAMPLE_RATE
from heygen_avatar.simulator.voice import Delivery
from heygen_avatar.simulator.voice import Voice as Speaker
from heygen_avatar.simulator.wav import as_wav


class GalleryCalls:
    """The calls. ``on_deleted`` is told which avatar is gone, for its sessions end with it (liveavatar §2)."""

    def __init__(self, library: Library, speaker: Speaker, on_deleted: Callable[[str], None]) -> None:
        self._library = library
        self._speaker = speaker
        self._on_deleted = on_deleted

    def calls(self) -> list[Call]:
        avatar, voice = "/v1/avatars/{avatar_id}", "/v1/voices/{voice_id}"
        return [
            Call(method="GET", path="/v1/avatars", access="key", handler=self._own_avatars),
            Call(method="GET", path="/v1/avatars/public", access="anybody", handler=self._public_avatars),
            Call(method="GET", path=avatar, access="key", handler=self._get_avatar),
            Call(method="PATCH", path=avatar, access="key", handler=self._update_avatar),
            Call(method="DELETE", path=avatar, access="key", handler=self._delete_avatar),
            Call(method="GET", path="/v1/voices", access="key", handler=self._list_voices),
            Call(method="POST", path="/v1/voices/third_party", access="key", handler=self._bind_voice),
            Call(method="GET", path=voice, access="key", handler=self._get_voice),
            Call(method="PATCH", path=voice, access="key", handler=self._update_voice),
            Call(method="DELETE", path=voice, access="key", handler=self._delete_voice),
            Call(method="GET", path=f"{voice}/preview", access="key", handler=self._preview),
        ]

    # Avatars.

    async def _own_avatars(self, visit: Visit) -> web.Response:
        return self._list_avatars(visit, public=False)

    async def _public_avatars(self, visit: Visit) -> web.Response:
        return self._list_avatars(visit, public=True)

    def _list_avatars(self, visit: Visit, *, public: bool) -> web.Response:
        rows = [avatar.row() for avatar in self._library.avatars.all() if avatar.public == public]
        return read_page(visit.request.query).of(rows, visit.request)

    async def _get_avatar(self, visit: Visit) -> web.Response:
        return success(self._avatar(visit).row())

    async def _update_avatar(self, visit: Visit) -> web.Response:
        avatar, body = self._own(self._avatar(visit)), await visit.body()
        voice = avatar.voice
        if "default_voice_id" in body:
            found = self._library.voices.find(body.text("default_voice_id"))
            if found is None:
                raise foreign("Voice", body.text("default_voice_id"))
            voice = found
        name = body.short("name", NAME_LENGTH, avatar.name)
        return success(self._library.avatars.put(changed(avatar, name=name, voice=voice)).row())

    async def _delete_avatar(self, visit: Visit) -> web.Response:
        avatar = self._own(self._avatar(visit))
        self._library.avatars.remove(avatar)
        self._on_deleted(avatar.id)
        return success()

    def _avatar(self, visit: Visit) -> Avatar:
        avatar = self._library.avatars.find(visit.part("avatar_id"))
        if avatar is None:
            raise not_found("Avatar", visit.part("avatar_id"))
        return avatar

    def _own(self, avatar: Avatar) -> Avatar:
        if avatar.public:
            raise refusal(403, f"Avatar with id '{avatar.id}' is public and cannot be changed")
        return avatar

    # Voices.

    async def _list_voices(self, visit: Visit) -> web.Response:
        kind = visit.request.query.get("voice_type", "public")
        if kind not in ("public", "private"):
            raise invalid(["query", "voice_type"], "must be one of public, private")
        rows = [voice.row() for voice in self._library.voices.all() if voice.public == (kind == "public")]
        return read_page(visit.request.query).of(rows, visit.request)

    async def _get_voice(self, visit: Visit) -> web.Response:
        return success(self._voice(visit).row())

    async def _update_voice(self, visit: Visit) -> web.Response:
        voice, body = self._private(self._voice(visit)), await visit.body()
        return success(self._library.voices.put(changed(voice, name=body.short("name", NAME_LENGTH))).row())

    async def _delete_voice(self, visit: Visit) -> web.Response:
        self._library.voices.remove(self._private(self._voice(visit)))
        return success()

    async def _bind_voice(self, visit: Visit) -> web.Response:
        """Each call makes a voice, and the provider's id is not looked at (observed, liveavatar §1.4)."""
        body = await visit.body()
        provider_id, secret_id = body.needed("provider_voice_id"), body.needed("secret_id")
        name = body.short("name", NAME_LENGTH, f"Imported Voice: {provider_id}"[:NAME_LENGTH])
        secret = self._library.secrets.find(secret_id)
        if secret is None:
            raise foreign("Secret", secret_id)
        provider = secret.kind.removesuffix("_API_KEY").lower()
        voice = Voice(name=name, gender="unknown", tags=(provider, "Imported"), public=False)
        self._library.voices.put(voice)
        return success({"voice_id": voice.id}, message="Voice imported successfully")

    async def _preview(self, visit: Visit) -> web.Response:
        voice = self._voice(visit)
        sound = await asyncio.to_thread(self._speak, voice)
        return success({"audio_base64": base64.b64encode(sound).decode()})

    def _speak(self, voice: Voice) -> bytes:
        """A sentence in that voice, as a WAV file."""
        delivery = Delivery(voice_id=voice.id, language=voice.language)
        speech = self._speaker.synthesize(f"Hello, my name is {voice.name}.", delivery)
        return as_wav(speech.samples, SAMPLE_RATE)

    def _voice(self, visit: Visit) -> Voice:
        voice = self._library.voices.find(visit.part("voice_id"))
        if voice is None:
            raise not_found("Voice", visit.part("voice_id"))
        return voice

    def _private(self, voice: Voice) -> Voice:
        if voice.public:
            raise refusal(403, f"Voice with id '{voice.id}' is public and cannot be changed")
        return voice


NAME_LENGTH = 64  # of voices (liveavatar §1.4); avatars' names have no published limit
