"""How a role reads text that was made while it trains: its tokenizer, its prompts, its longest row."""
