"""The inbox: the asset of its files, the sensor that looks for new ones. They exist only when IOT_INBOX is set."""
