"""Conversations that every chat template is tried with. What a template refuses is expected to be refused."""


def turns(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in pairs]


CONVERSATIONS = [
    turns(("user", "Is the gateway ready?")),
    turns(("system", "You answer briefly."), ("user", "Is the gateway ready? é ✓")),
    turns(("user", "Hello"), ("assistant", "Hello. What is it?"), ("user", "the route of the token\nis slow")),
    turns(("user", "  blank space around \n\n"), ("assistant", "\n\n kept or not\t"), ("user", "\tand   inside  \r\n it ")),
    turns(("user", "日本語 текст العربية 👩‍👩‍👧 e\u0301 \u212b ﬁ ½"), ("assistant", "ü"), ("user", "١٢٣ 12345 a1b22c333")),
    turns(("system", "Zwei Sätze. 'quoted' \"twice\" <b> & </b>"), ("user", "{{ messages }} {% raw %} it's we'll I'D")),
    turns(
        ("user", "Why?"),
        ("assistant", "<think>\nthe policy is closed\n</think>\n\nBecause."),
        ("user", "And then?"),
        ("assistant", "<think>\nnumber 7\n</think>\n\nThat."),
    ),
    turns(("user", "<tool_response>the route</tool_response>"), ("assistant", "no <think> closed"), ("user", "")),
    turns(("assistant", "I speak first"), ("user", "Why?")),
    turns(("user", "one"), ("user", "two")),
    turns(("user", "one"), ("system", "late"), ("assistant", "three"), ("user", "four")),
    turns(*[(("user", "assistant")[number % 2], f"turn number {number}") for number in range(21)]),
]
