"""A local HeyGen over real REST, WebSockets and WebRTC: see :class:`heygen_avatar.simulator.Simulator`."""
