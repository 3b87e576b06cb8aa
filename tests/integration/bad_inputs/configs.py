"""Command lines and configs."""

from tests.integration.bad_inputs.case import Case, config

CASES: list[Case] = [
    config("an unknown method", "method=kdd", "method=kdd: unknown method", "did you mean 'kd'?", "allowed:"),
    config("an unknown key", "optim.lrr=1", "optim.lrr: unknown key", "did you mean 'optim.lr'?"),
    config("a word for a number", "optim.lr=fast", "optim.lr=fast", "could not be converted to Float"),
    config("a number out of range", "optim.lr=-1", "optim.lr must be > 0, got -1.0"),
    config("a number past all floats", "optim.lr=1e400", "optim.lr must be > 0, got inf"),
    config("a null where none may be", "output_dir=null", "output_dir=null", "not Optional"),
    config("an empty folder name", "output_dir=''", "output_dir is empty; name a folder"),
    config("an empty value", "seed=", "seed=", "could not be converted to Integer"),
    config("no key", "=x", "there is no key before the =", "write key=value"),
    config("a word that is no key=value", "seed", "unknown verb 'seed'", "a run takes key=value"),
    config("an unclosed bracket", "student.layers=[0,1", "cannot read 'student.layers=[0,1'", "write key=value"),
    config("brackets without end", f"seed={'[' * 4000}", "cannot read 'seed=[[[", "write key=value"),
    config("a list for a name", "task=[sst2]", "task=[sst2]: unknown task", "allowed: amazon"),
    config("a section for a choice", "optim={lr:1}", "optim={lr:1}: unknown optim"),
    config("a fraction for a count", "optim.steps=1.5", "optim.steps=1.5", "could not be converted to Integer"),
    config("a truth for a number", "seed=true", "seed=True", "could not be converted to Integer"),
    config("a deletion", "~seed", "nothing can be deleted", "set another value"),
    config("a moved section", "task@method=sst2", "stays where it is", "without the @"),
    config("several values without -m", "seed=1,2", "names 2 values: add -m"),
    config("a sweep over an interval", "-m seed=interval(0,1)", "one by one", "seed=range(1,4)"),
    config("a sweep without end", "-m seed=range(0,1000000000)", "more than 1000 values", "name fewer"),
    config("one config of a sweep", "-m seed=1,2 --cfg job", "--cfg job shows the config of one run", "leave out -m"),
    config("an unknown flag", "--gpu seed=1", "unknown flag --gpu", "flags are"),
    config("an unknown launcher", "-m hydra/launcher=nope seed=1,2", "hydra/launcher=nope", "Could not find"),
    config("a method that does not fit the task", "method=zskd task=stsb", "method=zskd needs classes", "stsb"),
    config(
        "a loss that does not fit the task", "task=stsb loss=kl", "loss=kl compares distributions", "loss=logit_mse"
    ),
    config("a key of another choice", "data.dir=x", "data.dir belongs to data=folder"),
    config("a key that must be given", "data=folder", "data.dir is required", "set it with data.dir="),
    config("a split that is none", "task=amazon task.reported=tset", "no split", "did you mean 'test'?"),
    config("an unknown domain", "method=meta_kd task=amazon method.domain=bokks", "unknown domain", "'books'"),
    config("a domain's name that is a path", "task=amazon task.domains=[../x]", "task.domains has '../x'", "letters"),
    config(
        "synthetic text beside real rows", "method=zskd task=sst2 data=folder data.dir=x", "corpus=folder corpus.dir"
    ),
    config("a tracker that is no tracker", "tracker=excel", "tracker=excel", "none"),
    config("a server beside offline", "tracker=wandb offline=true", "opens no socket", "tracker=tensorboard"),
    config("an unknown verb", "trian task=sst2", "unknown verb 'trian'", "verbs: compare"),
    config("a filter that is no age", "runs since=yesterday", "since=yesterday is no age", "since=30m"),
    config("an axis that is none", "table rows=colour", "rows=colour: no such axis", "allowed: method"),
    config("a report of nothing", "report {here}/nowhere", "nowhere is not there"),
    config("a card of nothing", "explain kdd", "kdd", "kd"),
    config("a comparison of nothing", "compare baselines=[]", "there is nothing to compare", "method=kd"),
    config("two keys of several values", "compare method=kd loss=kl,soft_ce seed=1,2", "seed", "seeds=N"),
    config("a ledger that is not there", "runs ledger={here}/l.jsonl", "there is no such file", "name a ledger.jsonl"),
]
