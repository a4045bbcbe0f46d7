"""One file a supplier, one for HTTP and one for its connections; answers come out, never exceptions
of the network.
"""
