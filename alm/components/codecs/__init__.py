"""Neural codecs: one network is a tokenizer of several codebooks and the vocoder of its units."""
