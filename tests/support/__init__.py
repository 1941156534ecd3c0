"""What the tests share: a scripted run, tiny models, families of models, a loopback Hub, courses of trials."""
