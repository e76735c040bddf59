"""One association from accept to close: stages, dialling, the relay. Owns every association socket."""
