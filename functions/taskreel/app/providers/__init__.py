"""The generation providers: which one serves a unit, and what follows when it fails."""
