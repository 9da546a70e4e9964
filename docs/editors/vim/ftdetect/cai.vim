autocmd BufNewFile,BufRead *.cai setfiletype cai
