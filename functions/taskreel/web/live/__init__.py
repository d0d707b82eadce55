"""Live updates for front ends: server-sent events, long polling and socket.io."""
