"""Telegram's formatted text: HTML to plain text with entities, as the Bot API server does it.

Sources: "Bot API", section "Formatting options" (HTML style); the wording of the errors from Telegram's public
server, the repositories tdlib/telegram-bot-api and tdlib/td (parse_html in MessageEntity.cpp). Lengths and
offsets count UTF-16 code units ("MessageEntity"). MarkdownV2 is not spoken here.
"""

import html
import re

KINDS = {"b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline", "ins": "underline",
         "s": "strikethrough", "strike": "strikethrough", "del": "strikethrough", "tg-spoiler": "spoiler",
         "span": "spoiler", "a": "text_link", "code": "code", "pre": "pre", "blockquote": "blockquote",
         "tg-emoji": "custom_emoji"}
NAMED = {"&lt;": "<", "&gt;": ">", "&amp;": "&", "&quot;": '"'}
REFERENCE = re.compile(r"&(?:#\d{1,7}|#x[0-9a-fA-F]{1,6}|lt|gt|amp|quot);")


class CantParse(Exception):
    """The text breaks the rules of its parse mode."""


def units(text):
    """Length in UTF-16 code units."""
    return len(text.encode("utf-16-le")) // 2


def parse_html(source):
    """Returns the plain text and its entities."""
    text, entities, open_tags, at = "", [], [], 0
    while at < len(source):
        mark = source[at]
        if mark == "&" and (found := REFERENCE.match(source, at)):
            text += NAMED.get(found[0]) or html.unescape(found[0])
            at = found.end()
        elif mark != "<":
            text += mark
            at += 1
        elif source.startswith("</", at):
            at = end_tag(source, at, text, open_tags, entities)
        else:
            at = start_tag(source, at, text, open_tags)
    if open_tags:
        raise CantParse(f'Can\'t find end tag corresponding to start tag "{open_tags[-1][0]}"')
    return text, [entity for entity in sorted(entities, key=lambda one: one["offset"]) if entity["length"] > 0]


def start_tag(source, at, text, open_tags):
    offset = len(source[:at].encode())
    name = re.compile(r"[^\s>]*").match(source, at + 1)[0].lower()
    end = source.find(">", at)
    if end < 0:
        raise CantParse(f"Unclosed start tag at byte offset {offset}")
    if name not in KINDS:
        raise CantParse(f'Unsupported start tag "{name}" at byte offset {offset}')
    attributes, place = {}, at + 1 + len(name)
    while True:
        place += len(re.compile(r"\s*").match(source, place)[0])
        if place >= len(source):
            raise CantParse(f"Unclosed start tag at byte offset {offset}")
        if source[place] == ">":
            break
        found = re.compile(r"""([^\s=>]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9.-]+)))?""").match(source, place)
        if not found:
            raise CantParse(f'Empty attribute name in the tag "{name}" at byte offset {offset}')
        value = next((group for group in found.groups()[1:] if group is not None), "")
        attributes[found[1].lower()] = html.unescape(value)
        place = found.end()
    if name == "span" and attributes.get("class") != "tg-spoiler":
        raise CantParse(f'Tag "span" must have class "tg-spoiler" at byte offset {offset}')
    open_tags.append((name, attributes, units(text)))
    return place + 1


def end_tag(source, at, text, open_tags, entities):
    offset = len(source[:at].encode())
    if not open_tags:
        raise CantParse(f"Unexpected end tag at byte offset {offset}")
    found = re.compile(r"</([^\s>]*)\s*>").match(source, at)
    if not found:
        raise CantParse(f"Unclosed end tag at byte offset {offset}")
    name, attributes, start = open_tags.pop()
    if found[1].lower() not in ("", name):
        raise CantParse(f'Unmatched end tag at byte offset {offset}, expected "</{name}>", '
                        f'found "</{found[1].lower()}>"')
    entity = {"type": KINDS[name], "offset": start, "length": units(text) - start}
    if name == "a":
        if not attributes.get("href"):
            return found.end()
        entity["url"] = attributes["href"]
    if name == "tg-emoji":
        entity["custom_emoji_id"] = attributes.get("emoji-id", "")
    if name == "blockquote" and "expandable" in attributes:
        entity["type"] = "expandable_blockquote"
    style = attributes.get("class", "")
    if name == "code" and open_tags and open_tags[-1][0] == "pre" and style.startswith("language-"):
        open_tags[-1][1]["language"] = style.removeprefix("language-")
        return found.end()
    if name == "pre" and "language" in attributes:
        entity["language"] = attributes["language"]
    entities.append(entity)
    return found.end()


def found_entities(text):
    """What the service finds by itself in a user's text: mentions and commands."""
    entities = []
    for kind, pattern in (("mention", r"(?<!\w)@\w{3,32}"), ("bot_command", r"(?<![\w/])/\w{1,64}(?:@\w+)?")):
        for found in re.finditer(pattern, text):
            entities.append({"type": kind, "offset": units(text[:found.start()]), "length": units(found[0])})
    return sorted(entities, key=lambda one: one["offset"])
