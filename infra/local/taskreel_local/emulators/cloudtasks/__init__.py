"""Cloud Tasks on your machine: one engine, a gRPC and a REST door. Use it through `service` and `queues_file`.

Nothing is imported here: the REST door and the engine start without gRPC.
"""
