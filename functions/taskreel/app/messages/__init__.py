"""Messages of a change that is stored: tasks, events for client webhooks, alerts of spend."""
