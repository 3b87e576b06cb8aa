"""How a teacher learns from several domains: one head a domain, or as the meta-teacher of Meta-KD."""
