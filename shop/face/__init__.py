"""The shop's own face: its name, logo and colours, and its texts, from the instance folder."""
