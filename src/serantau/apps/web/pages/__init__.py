"""Pages for people: what the node does, in a browser. One module a family of pages.

A page adds no rule: it calls the verbs of `desk/` as the CLI does. `door` says who may
come in and renders; `view` is the templates, the words and the times.
"""
