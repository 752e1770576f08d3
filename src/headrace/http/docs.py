def routes(): return ()
