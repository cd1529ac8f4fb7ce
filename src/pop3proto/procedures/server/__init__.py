"""Server procedures: the session, its loop, the handlers of commands.

Of logins: `login_handlers` answers their commands; `session_logins` has the authenticator asked, and notes the outcome;
`logins` says when that may be, by turns and by the delays of `penalties`; `limits` counts the sessions, and knows from
where each is; `record` is what is logged.
"""
