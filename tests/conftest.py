"""What every test may count on."""

import signal

# What is started in the background is born deaf to interrupts, and so is all that it starts; some tests send one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
