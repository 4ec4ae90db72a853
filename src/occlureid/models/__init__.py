"""The shared vocabulary of the methods: backbones, pooling, heads and losses."""
