"""An avatar answers questions: each line of standard input, or each argument, is one.

heygen-avatar simulator -- python examples/questions.py "Who are you?" "What does photosynthesis do?"
"""

import sys

from heygen_avatar import StreamingAvatar

questions = sys.argv[1:] or (line.strip() for line in sys.stdin if line.strip())

with StreamingAvatar() as avatar:
    avatar.create_start_avatar(
        knowledge_base="You are Ada. Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
    )
    for question in questions:
        exchange = avatar.ask(question)
        print(f"{exchange.question}\n    {exchange.answer}", flush=True)
