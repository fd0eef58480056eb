#!/usr/bin/env python3
"""Writes a tiny language model in GGUF form whose next token depends on its last token alone.

    mkmodel.py FILE

Every layer adds zero, so what comes out for a token is that token's own column of the output matrix.
The embedding is the identity: the chain of tokens below can be read off the matrix, and the answers are
the same on every machine. Without tools the model says one sentence; offered tools, it first calls
get_weather for Paris. It never learned anything and needs no download.
"""

import sys

import gguf
import numpy as np

SENTENCE = ["▁I", "▁am", "▁a", "▁tiny", "▁test", "▁model", "▁running", "▁on", "▁llama", "▁cpp", "."]
CALL = ["<tool_call>", '{"name": "get_weather", ', '"arguments": {"city"', ': "Paris"}}', "</tool_call>"]
HEADS, FEED_FORWARD, LAYERS, CONTEXT = 4, 32, 1, 4096

# An answer opens with <|call|> where a tool may be called and with <|answer|> everywhere else: the last
# token of the prompt decides what follows.
TEMPLATE = """\
{%- if tools %}<|im_start|>system
Tools: <tools>{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
</tools> Call one with a JSON object between <tool_call> and </tool_call>.<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.role == 'tool' %}<tool_response>{{ message.content }}</tool_response>
{%- else %}{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}{% set wanted = call.function or call %}<tool_call>{"name": "{{ wanted.name }}", "arguments": {{ wanted.arguments | tojson }}}</tool_call>{% endfor %}
{%- endif %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if tools and messages[-1].role != 'tool' %}<|call|>{% else %}<|answer|>{% endif %}{% endif %}"""


class Vocabulary:
    """Token texts with their kinds and scores, in the order of their numbers."""

    def __init__(self):
        self.texts, self.kinds, self.scores = [], [], []

    def add(self, text, kind, score=0.0):
        """Returns the new token's number."""
        self.texts.append(text.encode())
        self.kinds.append(int(kind))
        self.scores.append(score)
        return len(self.texts) - 1

    def chain(self, texts, kind, scored=False):
        """Returns the numbers of several tokens."""
        return [self.add(text, kind, -(place + 1.0) if scored else 0.0) for place, text in enumerate(texts)]


def main(path):
    kind = gguf.TokenType
    words = Vocabulary()
    unknown = words.add("<unk>", kind.UNKNOWN)
    begin = words.add("<s>", kind.CONTROL)
    stop = words.add("</s>", kind.CONTROL)
    octets = words.chain([f"<0x{byte:02X}>" for byte in range(256)], kind.BYTE)
    words.add("<|im_start|>", kind.CONTROL)
    turn_end = words.add("<|im_end|>", kind.CONTROL)
    answer = words.add("<|answer|>", kind.CONTROL)
    sentence = words.chain(SENTENCE, kind.NORMAL, scored=True)
    call = words.add("<|call|>", kind.CONTROL)
    calling = words.chain(CALL, kind.USER_DEFINED)

    count = len(words.texts)
    width = -(-count // 32) * 32
    follows = np.zeros((count, width), np.float32)
    for octet in octets:  # never sampled in practice; keeps every column from being all zero
        follows[octets[ord('"')], octet] = 0.2
    follows[stop, turn_end] = 1
    for path_of_tokens in ([answer, *sentence, turn_end], [call, *calling, turn_end]):
        for this, following in zip(path_of_tokens, path_of_tokens[1:]):
            follows[following, this] = 1

    model = gguf.GGUFWriter(path, "llama")
    model.add_name("parrot")
    model.add_context_length(CONTEXT)
    model.add_embedding_length(width)
    model.add_block_count(LAYERS)
    model.add_feed_forward_length(FEED_FORWARD)
    model.add_head_count(HEADS)
    model.add_head_count_kv(HEADS)
    model.add_layer_norm_rms_eps(1e-6)
    model.add_rope_dimension_count(width // HEADS)
    model.add_vocab_size(count)
    model.add_tokenizer_model("llama")
    model.add_tokenizer_pre("default")
    model.add_token_list(words.texts)
    model.add_token_scores(words.scores)
    model.add_token_types(words.kinds)
    model.add_bos_token_id(begin)
    model.add_eos_token_id(turn_end)
    model.add_unk_token_id(unknown)
    model.add_add_bos_token(True)
    model.add_chat_template(TEMPLATE)

    def zeros(*shape):
        return np.zeros(shape, np.float32)

    def ones():
        return np.ones(width, np.float32)

    identity = zeros(count, width)
    identity[np.arange(count), np.arange(count)] = 1
    model.add_tensor("token_embd.weight", identity)
    model.add_tensor("output_norm.weight", ones())
    model.add_tensor("output.weight", follows)
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        model.add_tensor(block + "attn_norm.weight", ones())
        model.add_tensor(block + "ffn_norm.weight", ones())
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            model.add_tensor(block + part + ".weight", zeros(width, width))
        model.add_tensor(block + "ffn_gate.weight", zeros(FEED_FORWARD, width))
        model.add_tensor(block + "ffn_up.weight", zeros(FEED_FORWARD, width))
        model.add_tensor(block + "ffn_down.weight", zeros(width, FEED_FORWARD))
    model.write_header_to_file()
    model.write_kv_data_to_file()
    model.write_tensors_to_file()
    model.close()


if __name__ == "__main__":
    main(sys.argv[1])
