"""A Cloud Tasks emulator: one engine behind a gRPC server and a REST application.

Start it with `service.LocalCloudTasks`; read queue files with `queues_file`. This package imports
nothing by itself, so that the REST application and the engine start without gRPC.
"""
