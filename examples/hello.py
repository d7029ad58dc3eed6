"""An avatar says one sentence. The shortest program there is.

Try it without an account: heygen-avatar simulator -- python examples/hello.py
With one: set HEYGEN_API_KEY.
"""

from heygen_avatar import StreamingAvatar

with StreamingAvatar() as avatar:
    avatar.create_start_avatar(avatar_name="default")
    avatar.say("Hello, world!")
    print(avatar.transcript)
