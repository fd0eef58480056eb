"""The fakes of chat services. Each has to satisfy the vendor's own or the most used client library, and to notice what
a careless client does wrong, before it may judge the gateway."""

from judges import careless, discord, ntfy, slack, telegram, whatsapp

NEEDS = ["node 22", "grammy", "@grammyjs/auto-retry", "@slack/web-api", "@slack/socket-mode", "@discordjs/ws",
         "@discordjs/rest", "whatsapp-api-js", "ntfy"]


def run(claims, binary, directory):
    for judge in (telegram, slack, discord, whatsapp, ntfy):
        judge.run(claims, directory)
    careless.run(claims)
