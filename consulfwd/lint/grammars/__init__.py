"""One small reader per grammar: text and the file's name in, statements out.

Pure. A reader raises LintError with the line for what its server could not read either, and
nothing else; whether a statement makes sense is for the rules.
"""
