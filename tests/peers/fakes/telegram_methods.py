"""The methods of the Bot API that the fake knows: their parameters and types, and how a request's are read.

Source: core.telegram.org, "Bot API" (version 10.2), sections "Making requests" and "Available methods". The
service turns numbers to text and text to numbers where it can; the fake is stricter and answers 400 to
anything but the documented type, so that nothing comes to lean on it.
"""

import json
import urllib.parse

SENDING = {"chat_id": "chat", "message_thread_id": "int", "disable_notification": "bool", "protect_content": "bool",
           "allow_paid_broadcast": "bool", "message_effect_id": "str", "reply_parameters": "dict",
           "reply_markup": "dict", "business_connection_id": "str", "direct_messages_topic_id": "int",
           "suggested_post_parameters": "dict"}
CAPTION = {"caption": "str", "parse_mode": "str", "caption_entities": "list", "show_caption_above_media": "bool",
           "has_spoiler": "bool"}
MESSAGE = {"chat_id": "chat", "message_id": "int", "business_connection_id": "str", "inline_message_id": "str"}
POLL = {"question": "str", "question_parse_mode": "str", "question_entities": "list", "options": "list",
        "is_anonymous": "bool", "type": "str", "allows_multiple_answers": "bool", "allows_revoting": "bool",
        "shuffle_options": "bool", "allow_adding_options": "bool", "hide_results_until_closes": "bool",
        "members_only": "bool", "country_codes": "list", "correct_option_ids": "list", "explanation": "str",
        "explanation_parse_mode": "str", "explanation_entities": "list", "explanation_media": "dict",
        "description": "str", "description_parse_mode": "str", "description_entities": "list", "media": "dict",
        "open_period": "int", "close_date": "int", "is_closed": "bool"}

METHODS = {
    "getMe": {},
    "getUpdates": {"offset": "int", "limit": "int", "timeout": "int", "allowed_updates": "list"},
    "deleteWebhook": {"drop_pending_updates": "bool"},
    "getWebhookInfo": {},
    "setMyCommands": {"commands": "list", "scope": "dict", "language_code": "str"},
    "getChat": {"chat_id": "chat"},
    "getFile": {"file_id": "str"},
    "sendMessage": SENDING | {"text": "str", "parse_mode": "str", "entities": "list", "link_preview_options": "dict"},
    "editMessageText": MESSAGE | {"text": "str", "parse_mode": "str", "entities": "list",
                                  "link_preview_options": "dict", "reply_markup": "dict"},
    "deleteMessage": {"chat_id": "chat", "message_id": "int"},
    "sendMessageDraft": {"chat_id": "int", "message_thread_id": "int", "draft_id": "int", "text": "str",
                         "parse_mode": "str", "entities": "list", "can_stop": "bool", "keep_on_stop": "bool"},
    "sendChatAction": {"chat_id": "chat", "message_thread_id": "int", "action": "str",
                       "business_connection_id": "str"},
    "sendPhoto": SENDING | CAPTION | {"photo": "file"},
    "sendDocument": SENDING | CAPTION | {"document": "file", "thumbnail": "file",
                                         "disable_content_type_detection": "bool"},
    "sendVoice": SENDING | CAPTION | {"voice": "file", "duration": "int"},
    "sendAudio": SENDING | CAPTION | {"audio": "file", "thumbnail": "file", "duration": "int", "performer": "str",
                                      "title": "str"},
    "sendVideo": SENDING | CAPTION | {"video": "file", "thumbnail": "file", "cover": "file", "duration": "int",
                                      "width": "int", "height": "int", "supports_streaming": "bool",
                                      "start_timestamp": "int"},
    "sendMediaGroup": SENDING | {"media": "list"},
    "sendPoll": SENDING | POLL,
    "stopPoll": MESSAGE | {"reply_markup": "dict"},
    "setMessageReaction": {"chat_id": "chat", "message_id": "int", "reaction": "list", "is_big": "bool"},
    "answerCallbackQuery": {"callback_query_id": "str", "text": "str", "show_alert": "bool", "url": "str",
                            "cache_time": "int"},
}
BY_SMALL_NAME = {name.lower(): name for name in METHODS}  # method names are case-insensitive
TYPES = {"int": int, "str": str, "bool": bool, "dict": dict, "list": list}


class WrongParameter(Exception):
    """A parameter is not of the documented type."""


def read_parameters(method, request):
    """Returns the parameters as documented values, the files by part name, and the names nobody knows."""
    known = METHODS[method]
    raw, files, is_text = raw_parameters(request, known)
    values = {name: typed(name, known[name], value, is_text) for name, value in raw.items() if name in known}
    unknown = [name for name in raw if name not in known]
    return {name: value for name, value in values.items() if value is not None}, files, unknown


def raw_parameters(request, known):
    """Query string, form, JSON or multipart ("Making requests")."""
    files = {}
    if request.media_type == "application/json":
        try:
            values = json.loads(request.body or b"{}")
        except ValueError as error:
            raise WrongParameter("can't parse request body as JSON") from error
        if not isinstance(values, dict):
            raise WrongParameter("can't parse request body: object expected")
        return dict(request.query) | values, files, False
    values = dict(request.query)
    if request.media_type == "application/x-www-form-urlencoded":
        values |= dict(urllib.parse.parse_qsl(request.body.decode(), keep_blank_values=True))
    if request.media_type == "multipart/form-data":
        for name, file_name, media_type, content in request.parts():
            if file_name is not None:
                files[name] = (file_name, media_type, content)
                values |= {name: f"attach://{name}"} if known.get(name) == "file" else {}
            else:
                values[name] = content.decode()
    return values, files, True


def typed(name, kind, value, is_text):
    if kind in ("chat", "file") and not (isinstance(value, str) or (kind == "chat" and type(value) is int)):
        raise WrongParameter(f'parameter "{name}" has a wrong type')
    if kind in ("chat", "file") or (kind == "str" and isinstance(value, str)):
        return value
    if is_text and kind != "str":
        try:
            value = json.loads(value.lower() if kind == "bool" else value)
        except ValueError as error:
            raise WrongParameter(f"can't parse parameter \"{name}\"") from error
    if type(value) is not TYPES[kind]:
        raise WrongParameter(f'parameter "{name}" must be {TYPES[kind].__name__}, not {type(value).__name__}')
    return value
