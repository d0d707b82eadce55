"""The texts that OpenRouter sells.

It passes the makers' list prices on. These are of OpenRouter's catalogue as tensorfeed.ai and
llm-gateway-bench quote it, and of the makers' price pages; what an answer cost is in the answer.
"""

from __future__ import annotations

from datetime import date

from taskreel.adapters.providers import chat_completions
from taskreel.adapters.providers.model_row import TEXT_OPTIONS, ModelRow, PricePage, PriceUnit
from taskreel.adapters.providers.reserved_options import RESERVED_IN_PRICE
from taskreel.ports import Capability

#: What the texts say, other models, and plug-ins and hosts (`provider`) with prices of their own.
RESERVED_OPTIONS = RESERVED_IN_PRICE | {
    *("messages", "prompt", "models", "route", "plugins", "tools", "tool_choice", "max_tokens"),
    *("max_completion_tokens", "response_format", "web_search_options", "modalities", "preset"),
    "provider",
}

#: The first is the default.
MODELS: tuple[ModelRow, ...] = tuple(
    ModelRow(
        name=name,
        provider="openrouter",
        path=name,
        capability=Capability.TEXT,
        usd=usd,
        unit=PriceUnit.TOKENS,
        usd_input=usd_input,
        quality="best" if usd > 10 else "standard",
        fields=chat_completions.FIELDS,
        computed=TEXT_OPTIONS | chat_completions.MESSAGES,
        aliases=aliases,
    )
    for name, usd, usd_input, aliases in (
        ("anthropic/claude-haiku-4.5", 5.0, 1.0, ("claude-haiku", "claude-haiku-4.5")),
        ("anthropic/claude-sonnet-4.6", 15.0, 3.0, ("claude", "claude-sonnet")),
        ("openai/gpt-5.4-mini", 4.50, 0.75, ()),
        ("openai/gpt-5.4", 15.0, 2.50, ()),
    )
)

#: As tensorfeed.ai and llm-gateway-bench quote it.
PRICE_PAGES = (
    PricePage(url="https://openrouter.ai/models", read_on=date(2026, 11, 1), is_exact=False),
)
