"""What is known of other DNS servers, a folder for each.

Facts only: `target` says how files are put in force, `kind` how they are read and judged.
`installed` alone runs something.
"""
