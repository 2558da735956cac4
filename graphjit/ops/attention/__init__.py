"""Attention: the ops, and Attention, AdditiveAttention, MultiHeadAttention."""
