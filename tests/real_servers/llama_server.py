"""Runs llama.cpp's HTTP server on a model until it is ended; its second argument is the port."""

import signal
import sys

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.model_alias = {"tiny"}
params.hostnames = ["127.0.0.1"]
params.port = int(sys.argv[2])
params.n_ctx = 1024
params.n_parallel = 1
params.offline = True
params.warmup = False
server = xllamacpp.Server(params)  # it serves as long as it is referred to
signal.pause()
