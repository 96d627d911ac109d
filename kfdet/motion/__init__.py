"""How objects move between the frames that a person drew on, found in the video's pictures."""
