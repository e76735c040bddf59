"""Memory that the processes of the gateway share. No socket is opened here."""
