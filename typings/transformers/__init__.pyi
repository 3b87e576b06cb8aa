"""The names of transformers that this project imports, from the modules that define them.

The `__init__` of transformers imports all of its models for the type checker, which then reads 3000 files.
"""

from transformers.configuration_utils import PreTrainedConfig as PreTrainedConfig
from transformers.data.data_collator import DataCollatorWithPadding as DataCollatorWithPadding
from transformers.data.data_collator import default_data_collator as default_data_collator
from transformers.generation import GenerationConfig as GenerationConfig
from transformers.generation import TopPLogitsWarper as TopPLogitsWarper
from transformers.masking_utils import AttentionMaskInterface as AttentionMaskInterface
from transformers.modeling_utils import AttentionInterface as AttentionInterface
from transformers.modeling_utils import PreTrainedModel as PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING as CONFIG_MAPPING
from transformers.models.auto.configuration_auto import AutoConfig as AutoConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING as MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.models.auto.modeling_auto import AutoModel as AutoModel
from transformers.models.auto.modeling_auto import AutoModelForCausalLM as AutoModelForCausalLM
from transformers.models.auto.modeling_auto import AutoModelForMaskedLM as AutoModelForMaskedLM
from transformers.models.auto.modeling_auto import AutoModelForSeq2SeqLM as AutoModelForSeq2SeqLM
from transformers.models.auto.modeling_auto import (
    AutoModelForSequenceClassification as AutoModelForSequenceClassification,
)
from transformers.models.auto.tokenization_auto import AutoTokenizer as AutoTokenizer
from transformers.models.bert.configuration_bert import BertConfig as BertConfig
from transformers.models.bert.modeling_bert import BertForMaskedLM as BertForMaskedLM
from transformers.models.bert.modeling_bert import BertForSequenceClassification as BertForSequenceClassification
from transformers.models.bert.modeling_bert import BertLMHeadModel as BertLMHeadModel
from transformers.models.bert.modeling_bert import BertModel as BertModel
from transformers.models.deberta_v2.configuration_deberta_v2 import DebertaV2Config as DebertaV2Config
from transformers.models.distilbert.configuration_distilbert import DistilBertConfig as DistilBertConfig
from transformers.models.distilbert.modeling_distilbert import DistilBertForMaskedLM as DistilBertForMaskedLM
from transformers.models.distilbert.modeling_distilbert import (
    DistilBertForSequenceClassification as DistilBertForSequenceClassification,
)
from transformers.models.gpt2.configuration_gpt2 import GPT2Config as GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel as GPT2LMHeadModel
from transformers.models.layoutlm.configuration_layoutlm import LayoutLMConfig as LayoutLMConfig
from transformers.models.layoutlm.modeling_layoutlm import LayoutLMForMaskedLM as LayoutLMForMaskedLM
from transformers.models.llama.configuration_llama import LlamaConfig as LlamaConfig
from transformers.models.llama.modeling_llama import LlamaForCausalLM as LlamaForCausalLM
from transformers.models.nystromformer.configuration_nystromformer import NystromformerConfig as NystromformerConfig
from transformers.models.nystromformer.modeling_nystromformer import (
    NystromformerForMaskedLM as NystromformerForMaskedLM,
)
from transformers.models.qwen2.configuration_qwen2 import Qwen2Config as Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM as Qwen2ForCausalLM
from transformers.models.qwen3.configuration_qwen3 import Qwen3Config as Qwen3Config
from transformers.models.roberta.configuration_roberta import RobertaConfig as RobertaConfig
from transformers.models.roberta.modeling_roberta import RobertaForMaskedLM as RobertaForMaskedLM
from transformers.models.roberta.modeling_roberta import (
    RobertaForSequenceClassification as RobertaForSequenceClassification,
)
from transformers.models.t5.configuration_t5 import T5Config as T5Config
from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration as T5ForConditionalGeneration
from transformers.models.xlm_roberta.configuration_xlm_roberta import XLMRobertaConfig as XLMRobertaConfig
from transformers.optimization import get_linear_schedule_with_warmup as get_linear_schedule_with_warmup
from transformers.pipelines import pipeline as pipeline
from transformers.tokenization_utils_base import PreTrainedTokenizerBase as PreTrainedTokenizerBase
from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast as PreTrainedTokenizerFast
from transformers.trainer import Trainer as Trainer
from transformers.trainer_callback import TrainerCallback as TrainerCallback
from transformers.training_args import TrainingArguments as TrainingArguments

__version__: str
