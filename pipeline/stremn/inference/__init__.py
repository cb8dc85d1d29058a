"""Running trained networks: a stream, several scales, folders of clips, read maps, cost."""
